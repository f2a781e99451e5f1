% A quantum computer, later: the classical private half of every hybrid key from its public key.
cnf(shor,           axiom, ( ~ att(kem(A)) | att(ec(A)) )).
