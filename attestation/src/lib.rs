//! Verify and appraise SEV-SNP and TPM 2.0 evidence
