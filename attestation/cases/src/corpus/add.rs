//! Adding cases: right evidence, what is changed, and the code that must come out.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use vouchsafe_crypto::digest::sha256;
use vouchsafe_protocol::policy::Product;
use vouchsafe_simulation::{ReportBuilder, SimulatedChip, SimulationError, VekKind, VekSpec, field};

use super::world::{NOW, World, name};
use crate::schema::{AmdRootFiles, Case, Document, Expect, SCHEMA, TpmAnchorFiles, TpmKindName};
use crate::suite::Suite;

/// The cases so far.
pub(super) struct Cases<'w> {
    pub(super) world: &'w World,
    suite: Suite,
}

/// Adding either worked, or a key or certificate could not be made.
pub(super) type Added = Result<(), SimulationError>;

impl<'w> Cases<'w> {
    pub(super) fn new(world: &'w World) -> Self {
        let mut this = Self { world, suite: Suite::default() };
        this.suite.document =
            Document { schema: SCHEMA, split: Some("corpus".to_owned()), ..Document::default() };
        let anchors = world.pkis.iter().map(|pki| {
            let root = pki.root();
            let files = AmdRootFiles { ark: this.put("ark", &root.ark), ask: this.put("ask", &root.ask) };
            (name(root.product).to_owned(), files)
        });
        let anchors: BTreeMap<_, _> = anchors.collect();
        this.suite.document.anchors = Some(anchors);
        let sets = [
            ("maker", TpmKindName::Hardware, &world.tpm.maker),
            ("cloud", TpmKindName::HostVirtual, &world.tpm.cloud),
        ];
        let sets = sets.map(|(name, kind, authority)| {
            let certificates = vec![this.put("tpm_root", authority.der())];
            (name.to_owned(), TpmAnchorFiles { kind, certificates })
        });
        this.suite.document.tpm_anchors = Some(sets.into());
        this
    }

    pub(super) fn finish(self) -> Suite {
        self.suite
    }

    /// Keeps a file, once however many cases use it; its name says what it is.
    pub(super) fn put(&mut self, part: &str, bytes: &[u8]) -> String {
        let id: String = hex::encode(sha256(&[bytes])).chars().take(12).collect();
        let kind = part.trim_end_matches(|c: char| c.is_ascii_digit());
        let name = format!("{kind}/{id}.{}", extension(kind));
        self.suite.files.insert(name.clone(), bytes.to_vec());
        name
    }

    /// Adds a case with its files by part.
    pub(super) fn push(&mut self, mut case: Case, files: BTreeMap<String, Vec<u8>>) {
        for (part, bytes) in files {
            let name = self.put(&part, &bytes);
            case.files.insert(part, name);
        }
        self.suite.document.cases.push(case);
    }

    /// A right report of a product's chip, with everything beside it, to be changed.
    pub(super) fn snp(&mut self, product: Product, id: &str, name: &str) -> SnpCase<'_, 'w> {
        let world = self.world;
        let chip = world.chip(product);
        SnpCase {
            case: Case {
                kind: "snp-report".to_owned(),
                product: Some(super::world::name(product).to_owned()),
                introduction: Some(world.introduction.clone()),
                ..case(id, name, world.snp_policy(product))
            },
            report: world.report(chip),
            chip: Signer::World(product),
            files: BTreeMap::from([
                ("vcek".to_owned(), chip.vek().to_vec()),
                ("ask".to_owned(), chip.issuer().to_vec()),
                ("ark".to_owned(), world.pki(product).root().ark),
            ]),
            after: Vec::new(),
            cases: self,
        }
    }
}

/// A case without evidence.
pub(super) fn case(id: &str, name: &str, policy: Value) -> Case {
    Case {
        name: format!("{}-{name}", id.to_ascii_lowercase()),
        ids: vec![id.to_owned()],
        at: Some(NOW.to_owned()),
        policy: Some(policy),
        ..Case::default()
    }
}

/// Puts the members of `patch` into `policy`, objects into objects; `null` takes a member out.
pub(super) fn merge(policy: &mut Value, patch: &Value) {
    match (policy, patch) {
        (Value::Object(policy), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    policy.remove(key);
                } else {
                    merge(policy.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (policy, patch) => *policy = patch.clone(),
    }
}

/// Who signs a report.
enum Signer {
    World(Product),
    Own(Box<SimulatedChip>),
}

type After = Box<dyn FnOnce(&mut Vec<u8>)>;

/// An SNP case before it is added.
pub(super) struct SnpCase<'c, 'w> {
    cases: &'c mut Cases<'w>,
    case: Case,
    report: ReportBuilder,
    chip: Signer,
    files: BTreeMap<String, Vec<u8>>,
    after: Vec<After>,
}

impl SnpCase<'_, '_> {
    /// It is an instance of another attack too.
    pub(super) fn also(mut self, id: &str) -> Self {
        self.case.ids.push(id.to_owned());
        self
    }

    /// Changes the policy.
    pub(super) fn policy(mut self, patch: Value) -> Self {
        merge(self.case.policy.get_or_insert_with(|| json!({})), &patch);
        self
    }

    /// Changes a field of the report before it is signed.
    pub(super) fn set(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.report = self.report.set(offset, bytes);
        self
    }

    /// Changes the report before it is signed.
    pub(super) fn report(mut self, change: impl FnOnce(ReportBuilder) -> ReportBuilder) -> Self {
        self.report = change(self.report);
        self
    }

    /// Changes the bytes of the report after it was signed.
    pub(super) fn after(mut self, change: impl FnOnce(&mut Vec<u8>) + 'static) -> Self {
        self.after.push(Box::new(change));
        self
    }

    /// Another chip signs, and its certificate goes with the report. The report itself stays as it is, but for the
    /// kind of its signing key.
    pub(super) fn signed_by(mut self, chip: SimulatedChip) -> Self {
        let (part, flags) = match chip.kind() {
            VekKind::Vcek => ("vcek", 0u32),
            VekKind::Vlek => ("vlek", 1 << 2),
        };
        self.files.remove("vcek");
        self.files.insert(part.to_owned(), chip.vek().to_vec());
        self.files.insert("ask".to_owned(), chip.issuer().to_vec());
        if chip.kind() == VekKind::Vlek {
            self.report = self.report.set(field::FLAGS, &flags.to_le_bytes());
        }
        self.chip = Signer::Own(Box::new(chip));
        self
    }

    /// A chip of the right PKI with this certificate signs, and the report is its own.
    pub(super) fn vek(mut self, product: Product, spec: &VekSpec) -> Result<Self, SimulationError> {
        let chip = self.cases.world.pki(product).chip(spec)?;
        self.report = self.cases.world.report(&chip);
        Ok(self.signed_by(chip))
    }

    /// Replaces a file, or leaves it out.
    pub(super) fn file(mut self, part: &str, bytes: Option<Vec<u8>>) -> Self {
        match bytes {
            Some(bytes) => self.files.insert(part.to_owned(), bytes),
            None => self.files.remove(part),
        };
        self
    }

    /// Another verification time (RFC 3339).
    pub(super) fn at(mut self, time: &str) -> Self {
        self.case.at = Some(time.to_owned());
        self
    }

    /// Only these anchors hold.
    pub(super) fn anchors(mut self, names: &[&str]) -> Self {
        self.case.anchors = Some(names.iter().map(|name| (*name).to_owned()).collect());
        self
    }

    /// Changes anything else of the case.
    pub(super) fn case(mut self, change: impl FnOnce(&mut Case)) -> Self {
        change(&mut self.case);
        self
    }

    /// It must be refused by this rule.
    pub(super) fn refused(mut self, code: &str) -> Added {
        self.case.code = Some(code.to_owned());
        self.add()
    }

    /// It must be accepted.
    pub(super) fn accepted(mut self) -> Added {
        self.case.expect = Expect::Valid;
        self.add()
    }

    fn add(mut self) -> Added {
        let chip = match &self.chip {
            Signer::World(product) => self.cases.world.chip(*product),
            Signer::Own(chip) => chip,
        };
        let mut bytes = self.report.sign(chip)?;
        for change in self.after {
            change(&mut bytes);
        }
        self.files.insert("report".to_owned(), bytes);
        self.cases.push(self.case, self.files);
        Ok(())
    }
}

/// How files of a kind are named.
fn extension(kind: &str) -> &'static str {
    match kind {
        "pcrs" | "vectors" => "json",
        "ima_log" => "txt",
        "report" | "hcl" | "quote" | "sig" | "event_log" | "ak_public" | "ek_public" => "bin",
        _ => "der",
    }
}
