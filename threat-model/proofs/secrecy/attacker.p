% What an attacker can work out: att(X) says that X can be known. First-order Horn clauses in TPTP CNF.
%
%   pair(X, Y)          X and Y together
%   aead(K, X)          X under the symmetric key K; a KDF of a secret is written kdf(secret, label)
%   kem(A)              the public key of the key pair A; ec(A) and pq(A) are its two private halves, seed(A) makes both
%   box(kem(A), X)      X sealed by HPKE to the hybrid key of A: it takes BOTH private halves to open
%   weak(kem(A), X)     X sealed to the classical half alone (a negative control uses it)
%   sign(A, X)          X signed by A: readable by anyone
%   stretch(W)          the output of a passphrase function

cnf(pair_left,      axiom, ( ~ att(pair(X, Y)) | att(X) )).
cnf(pair_right,     axiom, ( ~ att(pair(X, Y)) | att(Y) )).
cnf(pair_make,      axiom, ( ~ att(X) | ~ att(Y) | att(pair(X, Y)) )).

cnf(aead_open,      axiom, ( ~ att(aead(K, X)) | ~ att(K) | att(X) )).
cnf(aead_seal,      axiom, ( ~ att(K) | ~ att(X) | att(aead(K, X)) )).
cnf(kdf_derive,     axiom, ( ~ att(X) | att(kdf(X, L)) )).

cnf(seed_classical, axiom, ( ~ att(seed(A)) | att(ec(A)) )).
cnf(seed_quantum,   axiom, ( ~ att(seed(A)) | att(pq(A)) )).
cnf(kem_public,     axiom, ( att(kem(A)) )).
cnf(box_open,       axiom, ( ~ att(box(kem(A), X)) | ~ att(ec(A)) | ~ att(pq(A)) | att(X) )).
cnf(box_seal,       axiom, ( ~ att(X) | att(box(kem(A), X)) )).
cnf(weak_open,      axiom, ( ~ att(weak(kem(A), X)) | ~ att(ec(A)) | att(X) )).
cnf(weak_seal,      axiom, ( ~ att(X) | att(weak(kem(A), X)) )).

cnf(sign_read,      axiom, ( ~ att(sign(A, X)) | att(X) )).

% The attacker has key pairs of his own, as many as he likes.
cnf(own_keys,       axiom, ( att(seed(mallory(N))) )).
cnf(constants,      axiom, ( att(known) )).
