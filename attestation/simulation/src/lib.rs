//! A test PKI with real formats: simulated SNP reports that the real verifier reads.
