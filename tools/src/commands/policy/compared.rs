//! What a rule asks for beside what evidence shows, as text for people: only public values.

use vouchsafe_attestation::AppraisalError;
use vouchsafe_attestation::azure::HclReport;
use vouchsafe_attestation::snp::report::Report;
use vouchsafe_attestation::snp::rules::{SnpRuleError, WhichTcb, WhichVector};
use vouchsafe_attestation::snp::tcb::Component;
use vouchsafe_attestation::snp::vek::VekCertificate;
use vouchsafe_attestation::tpm::rules::TpmRuleError;
use vouchsafe_protocol::evidence::{Evidence, PcrValue, SnpEndorsements};
use vouchsafe_protocol::id::AnchorName;
use vouchsafe_protocol::policy::{
    Accept, AuthorKeyRule, ChipRule, EkRule, Expiry, HostDataRule, IdBlockRule, IdRule, LaunchDigest,
    MigrationAgentRule, PcrExpectation, PcrRule, Product, ReferenceValue, ReportIdRule, SnpAccept, Tcb,
    TcbFloors, TpmAccept, TpmKind,
};
use vouchsafe_protocol::seen::{SeenFacts, SeenReport};

use crate::context::rfc3339;
use crate::failure::kebab;

/// Most values of a list that are shown.
const VALUES: usize = 4;

/// What evidence shows, as far as rules compare it.
#[derive(Default)]
pub(super) struct Shown<'a> {
    report: Option<(Report, Product)>,
    pcrs: &'a [PcrValue],
    tpm: Option<(&'a AnchorName, TpmKind, &'a [u8; 32])>,
}

/// Both sides of a comparison.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Compared {
    pub(super) expected: String,
    /// `None` where it is not at hand.
    pub(super) actual: Option<String>,
}

impl<'a> Shown<'a> {
    /// Of evidence as it was sent.
    pub(super) fn of(evidence: &'a Evidence) -> Self {
        let report = |bytes: &[u8], endorsements: &SnpEndorsements| {
            let report = Report::parse(bytes).ok()?;
            let vek = endorsements.vek.as_deref().and_then(|der| VekCertificate::parse(der).ok());
            let product = vek.map(|vek| vek.claims.product);
            let product = product.or_else(|| report.cpuid.and_then(|cpuid| cpuid.product()))?;
            Some((report, product))
        };
        match evidence {
            Evidence::Snp(snp) => Self { report: report(&snp.report, &snp.endorsements), ..Self::default() },
            Evidence::SnpVtpm(vtpm) => {
                let hcl = HclReport::parse(&vtpm.hcl_report).ok();
                let report = hcl.and_then(|hcl| report(hcl.snp_report(), &vtpm.endorsements));
                Self { report, pcrs: &vtpm.pcrs, tpm: None }
            }
            Evidence::Tpm(tpm) => Self { pcrs: &tpm.pcrs, ..Self::default() },
        }
    }

    /// Of evidence as a vault keeps it.
    pub(super) fn of_seen(facts: &'a SeenFacts) -> Self {
        let report = |seen: &SeenReport| Some((Report::parse(&seen.report).ok()?, seen.product));
        match facts {
            SeenFacts::Snp(snp) => Self { report: report(snp), ..Self::default() },
            SeenFacts::SnpVtpm(vtpm) => Self { report: report(&vtpm.snp), pcrs: &vtpm.quote.pcrs, tpm: None },
            SeenFacts::Tpm(tpm) => Self {
                report: None,
                pcrs: &tpm.quote.pcrs,
                tpm: Some((&tpm.anchor, tpm.kind, &tpm.spki_digest)),
            },
        }
    }

    /// Both sides of what a rule refused. `None` where there is nothing to compare.
    pub(super) fn compared(&self, refusal: &AppraisalError, rule: &Accept) -> Option<Compared> {
        let (snp, pcrs, tpm) = match rule {
            Accept::Snp(snp) => (Some(snp), None, None),
            Accept::SnpVtpm(vtpm) => (Some(&vtpm.snp), Some(vtpm.pcrs.as_slice()), None),
            Accept::Tpm(tpm) => (None, Some(tpm.pcrs.as_slice()), Some(tpm)),
        };
        match refusal {
            AppraisalError::SnpRule(error) => {
                let (report, product) = self.report.as_ref()?;
                of_report(error, snp?, report, *product)
            }
            AppraisalError::TpmRule(error) => {
                of_quote(error, self.pcrs, pcrs?).or_else(|| self.of_tpm(error, tpm?))
            }
            _ => None,
        }
    }

    fn of_tpm(&self, error: &TpmRuleError, rule: &TpmAccept) -> Option<Compared> {
        let TpmAccept { anchors, kind, ek, ak, .. } = rule;
        let shown = |text: fn(&(&AnchorName, TpmKind, &[u8; 32])) -> String| self.tpm.as_ref().map(text);
        Some(match error {
            TpmRuleError::Anchor => Compared {
                expected: one_of(anchors.iter().map(ToString::to_string)),
                actual: shown(|(anchor, ..)| anchor.to_string()),
            },
            TpmRuleError::Kind => Compared {
                expected: kebab(&format!("{kind:?}")),
                actual: shown(|(_, kind, _)| kebab(&format!("{kind:?}"))),
            },
            TpmRuleError::EkNotListed => {
                let EkRule::Allow(listed) = ek else { return None };
                Compared {
                    expected: one_of(listed.iter().map(hex::encode)),
                    actual: shown(|(_, _, digest)| hex::encode(digest)),
                }
            }
            TpmRuleError::AkProof => Compared { expected: kebab(&format!("{ak:?}")), actual: None },
            _ => return None,
        })
    }
}

/// A few of many.
fn one_of(values: impl ExactSizeIterator<Item = String>) -> String {
    let count = values.len();
    let mut shown: Vec<String> = values.take(VALUES).collect();
    if count > VALUES {
        shown.push(format!("{} more", count - VALUES));
    }
    shown.join(" or ")
}

fn both(expected: impl Into<String>, actual: impl Into<String>) -> Compared {
    Compared { expected: expected.into(), actual: Some(actual.into()) }
}

fn of_quote(error: &TpmRuleError, sent: &[PcrValue], rules: &[PcrRule]) -> Option<Compared> {
    let value = |index: u8| sent.iter().find(|pcr| pcr.index == index).map(|pcr| hex::encode(pcr.value));
    let accepted = |index: u8| match &rules.iter().find(|rule| rule.index == index)?.expected {
        PcrExpectation::Values(values) => Some(values.as_slice()),
        PcrExpectation::Events => None,
    };
    Some(match *error {
        TpmRuleError::Value { index } => Compared {
            expected: one_of(accepted(index)?.iter().map(|known| hex::encode(known.value))),
            actual: value(index),
        },
        TpmRuleError::Expired { index } => {
            let matching =
                accepted(index)?.iter().find(|known| Some(hex::encode(known.value)) == value(index))?;
            Compared { expected: until(matching.expiry), actual: value(index) }
        }
        TpmRuleError::AllZero { index } => Compared { expected: "extended".to_owned(), actual: value(index) },
        TpmRuleError::Selection | TpmRuleError::Values => {
            let list = |indexes: Vec<String>| format!("PCRs {}", indexes.join(" "));
            both(
                list(rules.iter().map(|rule| rule.index.to_string()).collect()),
                list(sent.iter().map(|pcr| pcr.index.to_string()).collect()),
            )
        }
        _ => return None,
    })
}

fn until(expiry: Expiry) -> String {
    match expiry {
        Expiry::Never => "for ever".to_owned(),
        Expiry::At { expires_unix_secs, grace_secs } => {
            format!("until {}", rfc3339(expires_unix_secs.saturating_add(u64::from(grace_secs))))
        }
    }
}

fn of_report(
    error: &SnpRuleError,
    accept: &SnpAccept,
    report: &Report,
    product: Product,
) -> Option<Compared> {
    Some(match *error {
        SnpRuleError::Product { .. } => {
            let names = accept.products.iter().map(|product| product_name(*product).to_owned());
            both(one_of(names), product_name(product))
        }
        SnpRuleError::Measurement => {
            let known = accept.measurements.iter().map(|known| hex::encode(known.value.0));
            both(one_of(known), hex::encode(report.measurement.0))
        }
        SnpRuleError::MeasurementExpired => {
            let matching = |known: &&ReferenceValue<LaunchDigest>| known.value == report.measurement;
            let known = accept.measurements.iter().find(matching)?;
            both(until(known.expiry), hex::encode(report.measurement.0))
        }
        SnpRuleError::HostData => {
            let HostDataRule::Exactly(expected) = accept.host_data else { return None };
            both(hex::encode(expected), hex::encode(report.host_data))
        }
        SnpRuleError::FamilyId => both(id(accept.family_id)?, hex::encode(report.family_id)),
        SnpRuleError::ImageId => both(id(accept.image_id)?, hex::encode(report.image_id)),
        SnpRuleError::GuestSvn { svn, least } => both(format!("at least {least}"), svn.to_string()),
        SnpRuleError::IdKey | SnpRuleError::AuthorKey => of_id_block(error, &accept.id_block, report)?,
        SnpRuleError::ReportId => {
            let ReportIdRule::Exactly(expected) = accept.report_id else { return None };
            both(hex::encode(expected), hex::encode(report.report_id))
        }
        SnpRuleError::ReportIdMa => {
            let expected = match accept.migration_agent {
                MigrationAgentRule::Exactly(expected) => hex::encode(expected),
                MigrationAgentRule::AnyMigrationAgent | MigrationAgentRule::NoMigrationAgent => {
                    "none".to_owned()
                }
            };
            both(expected, hex::encode(report.report_id_ma))
        }
        SnpRuleError::Version { version, least } => both(format!("at least {least}"), version.to_string()),
        SnpRuleError::Abi { least } => {
            let [minor, major, ..] = report.policy.to_le_bytes();
            both(format!("at least {}.{}", least.major, least.minor), format!("{major}.{minor}"))
        }
        SnpRuleError::MustBeOne => bit("bit 17", report.policy, 17),
        SnpRuleError::Debug => bit("debug", report.policy, 19),
        SnpRuleError::MigrationAgent => bit("migrate_ma", report.policy, 18),
        SnpRuleError::GuestPolicy { bit: number } => bit(policy_bit(number), report.policy, number),
        SnpRuleError::Vmpl { vmpl, expected } => both(expected.to_string(), vmpl.to_string()),
        SnpRuleError::PlatformInfo { bit: number } => bit(platform_bit(number), report.platform_info, number),
        SnpRuleError::PlatformInfoUnknown => both("no bits above 7", format!("{:#x}", report.platform_info)),
        SnpRuleError::NoMitigations => {
            both("mitigation vectors (report version 5)", format!("version {}", report.version))
        }
        SnpRuleError::Mitigations { which } => {
            let shown = report.mitigations?;
            let (mask, shown) = match which {
                WhichVector::Current => (accept.mitigations.current, shown.current),
                WhichVector::Launch => (accept.mitigations.launch, shown.launch),
            };
            both(format!("all bits of {mask:#x}"), format!("{shown:#x}"))
        }
        SnpRuleError::ChipMasked | SnpRuleError::Vlek | SnpRuleError::ChipNotListed => {
            let expected = match &accept.chip {
                ChipRule::Allow(chips) => one_of(chips.iter().map(|chip| hex::encode(chip.0))),
                _ => "a chip that shows its id".to_owned(),
            };
            both(expected, hex::encode(report.chip_id.0))
        }
        SnpRuleError::NoProvider | SnpRuleError::Provider => {
            let ChipRule::Providers(names) = &accept.chip else { return None };
            Compared { expected: one_of(names.iter().map(|name| name.0.clone())), actual: None }
        }
        SnpRuleError::Provisional => both(
            format!("committed {}", tcb_text(product, report.committed_tcb.components(product))),
            format!("current {}", tcb_text(product, report.current_tcb.components(product))),
        ),
        SnpRuleError::Floor { which, component } => {
            let floors = accept.tcb_floors.iter().find(|floor| floor.product == product)?.floors;
            let TcbFloors { committed, current, launch, reported } = floors;
            let (least, shown) = match which {
                WhichTcb::Committed => (committed, report.committed_tcb),
                WhichTcb::Current => (current, report.current_tcb),
                WhichTcb::Launch => (launch, report.launch_tcb),
                WhichTcb::Reported => (reported, report.reported_tcb),
            };
            let name = component_name(component);
            both(
                format!("{name} at least {}", part(least, component)),
                format!("{name} {}", part(shown.components(product), component)),
            )
        }
        SnpRuleError::HostRequested
        | SnpRuleError::NoFloor { .. }
        | SnpRuleError::Reserved
        | SnpRuleError::TcbOrder { .. } => return None,
    })
}

fn id(rule: IdRule) -> Option<String> {
    match rule {
        IdRule::AnyId => None,
        IdRule::Exactly(expected) => Some(hex::encode(expected)),
    }
}

fn of_id_block(error: &SnpRuleError, rule: &IdBlockRule, report: &Report) -> Option<Compared> {
    let IdBlockRule::SignedBy { id_keys, author } = rule else { return None };
    let digests = |keys: &[LaunchDigest]| one_of(keys.iter().map(|key| hex::encode(key.0)));
    match (error, author) {
        (SnpRuleError::AuthorKey, AuthorKeyRule::OneOf(keys)) => {
            let actual = if report.author_key_enabled {
                hex::encode(report.author_key_digest)
            } else {
                "none".to_owned()
            };
            Some(both(digests(keys), actual))
        }
        _ => Some(both(digests(id_keys), hex::encode(report.id_key_digest))),
    }
}

/// A bit that was refused: what it is, so what it should not be.
fn bit(name: &str, bits: u64, number: u8) -> Compared {
    let set = bits.checked_shr(u32::from(number)).unwrap_or_default() & 1 == 1;
    let (expected, actual) = if set { ("clear", "set") } else { ("set", "clear") };
    both(format!("{name} {expected}"), format!("{name} {actual}"))
}

fn policy_bit(number: u8) -> &'static str {
    match number {
        16 => "smt",
        20 => "single_socket",
        21 => "cxl_allowed",
        22 => "mem_aes_256_xts",
        23 => "rapl_disabled",
        24 => "ciphertext_hiding",
        25 => "page_swap_disabled",
        _ => "bit",
    }
}

fn platform_bit(number: u8) -> &'static str {
    match number {
        0 => "smt",
        1 => "tsme",
        2 => "ecc",
        3 => "rapl_disabled",
        4 => "ciphertext_hiding",
        5 => "alias_check_complete",
        6 => "iommu_write_safe",
        7 => "tio",
        _ => "bit",
    }
}

fn component_name(component: Component) -> &'static str {
    match component {
        Component::BootLoader => "boot_loader",
        Component::Fmc => "fmc",
        Component::Microcode => "microcode",
        Component::Snp => "snp",
        Component::Tee => "tee",
    }
}

fn part(tcb: Tcb, component: Component) -> u8 {
    match component {
        Component::BootLoader => tcb.boot_loader,
        Component::Fmc => tcb.fmc,
        Component::Microcode => tcb.microcode,
        Component::Snp => tcb.snp,
        Component::Tee => tcb.tee,
    }
}

/// A product as policy files write it.
pub(super) fn product_name(product: Product) -> &'static str {
    match product {
        Product::Milan => "milan",
        Product::Genoa => "genoa",
        Product::Turin => "turin",
    }
}

/// A TCB in one line, without what the product does not have.
pub(super) fn tcb_text(product: Product, tcb: Tcb) -> String {
    let Tcb { fmc, boot_loader, tee, snp, microcode } = tcb;
    let fmc = if product == Product::Turin { format!("fmc {fmc}, ") } else { String::new() };
    format!("{fmc}boot_loader {boot_loader}, tee {tee}, snp {snp}, microcode {microcode}")
}
