//! Evidence through the public interface. Each test starts from evidence that is accepted, changes one thing, and
//! expects exactly one refusal. Reports are signed again after the change by a simulated chip, quotes by a key made
//! here, so that a refusal comes from the rule and not from the signature.

#[cfg(test)]
mod azure_claims;
#[cfg(test)]
mod azure_fixture;
#[cfg(test)]
mod azure_hcl;
#[cfg(test)]
mod azure_real;
#[cfg(test)]
mod azure_vtpm;
#[cfg(test)]
mod collateral;
#[cfg(test)]
mod explained;
#[cfg(test)]
mod log_boot;
#[cfg(test)]
mod log_builder;
#[cfg(test)]
mod log_ima;
#[cfg(test)]
mod log_meaning;
#[cfg(test)]
mod log_parse;
#[cfg(test)]
mod log_real;
#[cfg(test)]
mod log_replay;
#[cfg(test)]
mod log_rules;
#[cfg(test)]
mod log_signature_list;
#[cfg(test)]
mod snp_binding;
#[cfg(test)]
mod snp_endorsement;
#[cfg(test)]
mod snp_fixture;
#[cfg(test)]
mod snp_form;
#[cfg(test)]
mod snp_guest;
#[cfg(test)]
mod snp_revocation;
#[cfg(test)]
mod snp_roots;
#[cfg(test)]
mod snp_rules;
#[cfg(test)]
mod snp_tcb;
#[cfg(test)]
mod snp_vlek;
#[cfg(test)]
mod tpm_ak_certificate;
#[cfg(test)]
mod tpm_chain;
#[cfg(test)]
mod tpm_fixture;
#[cfg(test)]
mod tpm_keys;
#[cfg(test)]
mod tpm_quote;
#[cfg(test)]
mod tpm_vault;
#[cfg(test)]
mod tpm_verify;
#[cfg(test)]
mod x509_form;
