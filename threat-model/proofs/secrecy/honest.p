% What honest clients do whenever they are shown what they ask for. `attested(P, K)`: the pinned registrar signed that K is
% the key of the practitioner P. `founded(P, K)`: the identity statement whose hash is the name of P holds K.

% A patient seals a compartment key to whom she lets in: to the attested key, whatever a server says.
cnf(patient_grants, axiom, ( ~ attested(P, K) | ~ grants(P) | att(box(K, seed(general))) )).
cnf(alice_grants,   axiom, ( grants(bob) )).
cnf(bob_attested,   axiom, ( attested(bob, kem(bob)) )).
cnf(mallory_too,    axiom, ( attested(eve, kem(mallory(zero))) )).

% A laboratory that was told the record's name deposits: inner lock to the compartment key that the patient signed, outer
% lock to the lock key that the key service signed.
cnf(lab_deposits,   axiom, ( ~ compartment_of(alice, C) | ~ lock_of(alice, L)
                             | att(box(L, box(C, kdf(report, content)))) )).
cnf(lab_seals,      axiom, ( att(aead(kdf(report, content), labreport)) )).
cnf(signed_comp,    axiom, ( compartment_of(alice, kem(general)) )).
cnf(signed_lock,    axiom, ( lock_of(alice, kem(lock)) )).

% A person's own keys: the account key makes the account KEM key.
cnf(account_kem,    axiom, ( ~ att(account_key) | att(seed(alice)) )).
