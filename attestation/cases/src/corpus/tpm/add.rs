//! Adding a TPM case: a right quote with everything beside it, and what is changed.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use vouchsafe_protocol::evidence::PcrValue;
use vouchsafe_simulation::SimulationError;
use vouchsafe_simulation::tpm::{QuoteBuilder, TpmKey};

use super::super::add::{Added, Cases, case, merge};
use super::super::tpm_world::{SECRET, pcr_file, policy_pcrs, values};
use crate::schema::{Case, Credential, Expect, PreviousClock};

/// A TPM case before it is added.
pub(in crate::corpus) struct TpmCase<'c, 'w> {
    cases: &'c mut Cases<'w>,
    case: Case,
    quote: QuoteBuilder,
    values: Vec<PcrValue>,
    files: BTreeMap<String, Vec<u8>>,
    signature: Option<Vec<u8>>,
    key: Option<TpmKey>,
}

impl<'w> Cases<'w> {
    /// A right quote of a TPM whose attestation key is shown to be its own by a credential.
    pub(in crate::corpus) fn tpm(
        &mut self,
        id: &str,
        name: &str,
    ) -> Result<TpmCase<'_, 'w>, SimulationError> {
        let world = self.world;
        let tpm = &world.tpm;
        let values = values();
        let policy = json!({
            "tpm_anchors": ["maker"],
            "tpm_kind": "hardware",
            "ak": "by-credential",
            "pcrs": policy_pcrs(&values),
        });
        Ok(TpmCase {
            case: Case {
                kind: "tpm-quote".to_owned(),
                introduction: Some(world.introduction.clone()),
                nonce: Some(hex::encode(world.nonce())),
                sig_format: Some("tpmt-signature".to_owned()),
                credential: Some(Credential { secret: hex::encode(SECRET), answer: hex::encode(SECRET) }),
                ..case(id, name, policy)
            },
            quote: QuoteBuilder::over(tpm.ak.kind(), &values, &world.nonce()),
            values,
            files: BTreeMap::from([
                ("ak_public".to_owned(), tpm.ak.ak_public()),
                ("ek_public".to_owned(), tpm.ek_public()),
                ("ekcert".to_owned(), tpm.ek_certificate()?),
            ]),
            signature: None,
            key: None,
            cases: self,
        })
    }
}

impl TpmCase<'_, '_> {
    /// It is an instance of another attack too.
    pub(in crate::corpus) fn also(mut self, id: &str) -> Self {
        self.case.ids.push(id.to_owned());
        self
    }

    /// Changes the policy.
    pub(in crate::corpus) fn policy(mut self, patch: Value) -> Self {
        merge(self.case.policy.get_or_insert_with(|| json!({})), &patch);
        self
    }

    /// Changes the quote before it is signed.
    pub(in crate::corpus) fn quote(mut self, change: impl FnOnce(&mut QuoteBuilder)) -> Self {
        change(&mut self.quote);
        self
    }

    /// Quotes other values, right in themselves; the policy stays.
    pub(in crate::corpus) fn quoting(mut self, values: &[PcrValue]) -> Self {
        let key = self.key.as_ref().unwrap_or(&self.cases.world.tpm.ak);
        self.quote = QuoteBuilder::over(key.kind(), values, &self.quote.extra_data);
        self.values = values.to_vec();
        self
    }

    /// Sends other values than the quoted ones.
    pub(in crate::corpus) fn sending(mut self, values: &[PcrValue]) -> Self {
        self.values = values.to_vec();
        self
    }

    /// Another key signs; the public area beside it stays.
    pub(in crate::corpus) fn signed_by(mut self, key: TpmKey) -> Self {
        self.key = Some(key);
        self
    }

    /// This key signs, its public area is beside it, and the digest is of its hash.
    pub(in crate::corpus) fn of(mut self, key: TpmKey) -> Self {
        self.files.insert("ak_public".to_owned(), key.ak_public());
        self.quote = QuoteBuilder::over(key.kind(), &self.values, &self.quote.extra_data);
        self.key = Some(key);
        self
    }

    /// These bytes instead of a signature.
    pub(in crate::corpus) fn signature(mut self, bytes: Vec<u8>) -> Self {
        self.signature = Some(bytes);
        self
    }

    /// Replaces a file, or leaves it out.
    pub(in crate::corpus) fn file(mut self, part: &str, bytes: Option<Vec<u8>>) -> Self {
        match bytes {
            Some(bytes) => self.files.insert(part.to_owned(), bytes),
            None => self.files.remove(part),
        };
        self
    }

    /// The key is shown to be a TPM's by this certificate instead of a credential.
    pub(in crate::corpus) fn certified(self, akcert: Vec<u8>) -> Self {
        let mut this = self.file("ek_public", None).file("ekcert", None).file("akcert", Some(akcert));
        this.case.credential = None;
        this.policy(json!({ "ak": "by-certificate" }))
    }

    /// What was seen of the same TPM before.
    pub(in crate::corpus) fn seen(mut self, previous: PreviousClock) -> Self {
        self.case.previous = Some(previous);
        self
    }

    /// Changes anything else of the case.
    pub(in crate::corpus) fn case(mut self, change: impl FnOnce(&mut Case)) -> Self {
        change(&mut self.case);
        self
    }

    /// It must be refused by this rule.
    pub(in crate::corpus) fn refused(mut self, code: &str) -> Added {
        self.case.code = Some(code.to_owned());
        self.add()
    }

    /// It must be accepted.
    pub(in crate::corpus) fn accepted(mut self) -> Added {
        self.case.expect = Expect::Valid;
        self.add()
    }

    fn add(mut self) -> Added {
        let quote = self.quote.encode();
        let key = self.key.as_ref().unwrap_or(&self.cases.world.tpm.ak);
        let signature = match self.signature {
            Some(bytes) => bytes,
            None => key.sign(&quote)?,
        };
        let values: Vec<_> = self.values.iter().map(|pcr| (pcr.index, pcr.value.to_vec())).collect();
        self.files.entry("pcrs".to_owned()).or_insert_with(|| pcr_file("sha256", &values));
        self.files.entry("quote".to_owned()).or_insert(quote);
        self.files.insert("sig".to_owned(), signature);
        self.cases.push(self.case, self.files);
        Ok(())
    }
}
