//! From the keys of a case to the typed policy that the verifier decides on.

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use vouchsafe_attestation::snp::report::Report;
use vouchsafe_attestation::tpm::quote::PcrValues;
use vouchsafe_protocol::evidence::PcrValue;
use vouchsafe_protocol::policy::events::{AllowedEvents, BootPhase, UkiSection};
use vouchsafe_protocol::policy::{
    AbiVersion, AkRule, AuthorKeyRule, BitRule, ChipId, ChipRule, CspName, EkRule, EventRules, Expiry,
    GuestPolicyRules, HostDataRule, IdBlockRule, IdRule, ImaRule, LaunchDigest, MigrationAgentRule,
    MitigationRule, PcrExpectation, PcrRule, Permission, PlatformInfoRules, Product, ReferenceValue,
    ReportIdRule, RevocationRule, SnpAccept, SnpVtpmAccept, TcbFloor, TcbFloors, TcbGrace, TpmAccept,
    TpmKindRule, UserDataRule,
};

use super::{
    AkKey, BitName, BootPhaseKey, CasePolicy, ChipKey, EventKeys, EventsWord, GraceKeys, Hex, MitigationKeys,
    PcrKey, RevocationKeys, TpmKindKey, UserDataKey,
};
use crate::runner::pcrs::sha256;
use crate::verdict::{Run, Stop};

const PRODUCTS: [Product; 3] = [Product::Milan, Product::Genoa, Product::Turin];

impl CasePolicy {
    /// Reads the object of a case; an absent one is the default policy.
    pub(crate) fn read(policy: Option<&serde_json::Value>) -> Run<Self> {
        match policy {
            None => Ok(Self::default()),
            Some(policy) => Self::deserialize(policy).map_err(|error| {
                Stop::not_supported(format!("the policy of the case is not understood: {error}"))
            }),
        }
    }

    /// Whether a masked chip id passes for that of the certificate.
    pub(crate) fn masked(&self) -> Permission {
        match self.chip {
            Some(ChipKey::AnyChipEvenMasked) => Permission::Allowed,
            _ => Permission::Forbidden,
        }
    }

    /// Largest age of a revocation list in seconds, where one is judged alone.
    pub(crate) fn crl_max_age_secs(&self) -> u32 {
        self.revocation.map_or(u32::MAX, |keys| keys.max_age_secs)
    }

    /// The typed rule for a report. What the case does not pin is taken from the report itself.
    pub(crate) fn snp_accept(&self, report: &Report) -> Run<SnpAccept> {
        let products: Vec<Product> = match &self.products {
            Some(names) => names.iter().map(|name| Product::from(*name)).collect(),
            // Milan must be named (S10).
            None if self.strict => vec![Product::Genoa, Product::Turin],
            None => PRODUCTS.to_vec(),
        };
        let with_floor: Vec<Product> = match &self.floors_for {
            Some(names) => names.iter().map(|name| Product::from(*name)).collect(),
            None => products.clone(),
        };
        let floor = self.floor()?;
        let tcb_floors = with_floor.into_iter().map(|product| TcbFloor { product, ..floor }).collect();
        let measurement = self.measurement(report)?;
        let chip = self.chip();
        let revocation = match self.revocation {
            Some(RevocationKeys { max_age_secs }) => RevocationRule::Checked { max_age_secs },
            None => RevocationRule::Unchecked,
        };
        let mut accept = SnpAccept::strict(products, vec![measurement], tcb_floors, chip, revocation);
        if !self.strict {
            loosen(&mut accept);
        }
        self.bits(&mut accept);
        self.values(&mut accept, report)?;
        Ok(accept)
    }

    fn floor(&self) -> Run<TcbFloor> {
        let mut floors = TcbFloors::from(self.tcb_floors.unwrap_or_default());
        if let Some(least) = self.min_tcb {
            floors.reported = least.into();
        }
        let grace = match &self.tcb_grace {
            None => TcbGrace::NoGrace,
            Some(GraceKeys { floors, until }) => {
                TcbGrace::Until { floors: (*floors).into(), until_unix_secs: unix_secs(until)? }
            }
        };
        Ok(TcbFloor { product: Product::Milan, floors, grace })
    }

    fn measurement(&self, report: &Report) -> Run<ReferenceValue<LaunchDigest>> {
        let value = self.measurement.map_or(report.measurement, |Hex(digest)| LaunchDigest(digest));
        let expiry = match &self.measurement_expires {
            None => Expiry::Never,
            Some(expires) => Expiry::At {
                expires_unix_secs: unix_secs(expires)?,
                grace_secs: self.measurement_grace_secs.unwrap_or(0),
            },
        };
        Ok(ReferenceValue { value, expiry })
    }

    fn chip(&self) -> ChipRule {
        match &self.chip {
            // That CHIP_ID is the certificate's is checked with the chain, whatever the rule.
            None | Some(ChipKey::AnyChipEvenMasked) => ChipRule::AnyChipEvenMasked,
            Some(ChipKey::AnyChip) => ChipRule::AnyChip,
            Some(ChipKey::Allow(chips)) => ChipRule::Allow(chips.iter().map(|Hex(id)| ChipId(*id)).collect()),
            Some(ChipKey::Providers(names)) => {
                ChipRule::Providers(names.iter().cloned().map(CspName).collect())
            }
        }
    }

    fn bits(&self, accept: &mut SnpAccept) {
        if self.allow_debug {
            accept.guest_policy.debug = BitRule::Any;
        }
        if let Some(keys) = &self.guest_policy {
            let GuestPolicyRules {
                min_abi,
                smt,
                migrate_ma,
                debug,
                single_socket,
                cxl_allowed,
                mem_aes_256_xts,
                rapl_disabled,
                ciphertext_hiding,
                page_swap_disabled,
            } = &mut accept.guest_policy;
            if let Some([major, minor]) = keys.min_abi {
                *min_abi = AbiVersion { major, minor };
            }
            set(smt, keys.smt);
            set(migrate_ma, keys.migrate_ma);
            set(debug, keys.debug);
            set(single_socket, keys.single_socket);
            set(cxl_allowed, keys.cxl_allowed);
            set(mem_aes_256_xts, keys.mem_aes_256_xts);
            set(rapl_disabled, keys.rapl_disabled);
            set(ciphertext_hiding, keys.ciphertext_hiding);
            set(page_swap_disabled, keys.page_swap_disabled);
        }
        if let Some(keys) = &self.platform_info {
            let PlatformInfoRules {
                smt,
                tsme,
                ecc,
                rapl_disabled,
                ciphertext_hiding,
                alias_check_complete,
                iommu_write_safe,
                tio,
                unknown_bits,
            } = &mut accept.platform_info;
            set(smt, keys.smt);
            set(tsme, keys.tsme);
            set(ecc, keys.ecc);
            set(rapl_disabled, keys.rapl_disabled);
            set(ciphertext_hiding, keys.ciphertext_hiding);
            set(alias_check_complete, keys.alias_check_complete);
            set(iommu_write_safe, keys.iommu_write_safe);
            set(tio, keys.tio);
            if let Some(name) = keys.unknown_bits {
                *unknown_bits = name.into();
            }
        }
    }

    fn values(&self, accept: &mut SnpAccept, report: &Report) -> Run<()> {
        if let Some(MitigationKeys { launch, current }) = self.mitigations {
            accept.mitigations = MitigationRule { launch, current };
        }
        accept.vmpl = match (self.vmpl, self.max_vmpl.unwrap_or(0)) {
            (Some(exactly), _) => exactly,
            // Any level up to the highest allowed: the one the report claims, if it is not above that.
            (None, highest) => u8::try_from(report.vmpl).map_or(highest, |vmpl| vmpl.min(highest)),
        };
        if let Some(Hex(bytes)) = self.host_data {
            accept.host_data = HostDataRule::Exactly(bytes);
        }
        let digests = |pin: Option<Hex<48>>| pin.map(|Hex(digest)| vec![LaunchDigest(digest)]);
        match (digests(self.id_key_digest), digests(self.author_key_digest)) {
            (None, None) => {}
            (None, Some(_)) => return Err(Stop::not_supported("author_key_digest needs id_key_digest")),
            (Some(id_keys), authors) => {
                let author = authors.map_or(AuthorKeyRule::AnyAuthor, AuthorKeyRule::OneOf);
                accept.id_block = IdBlockRule::SignedBy { id_keys, author };
            }
        }
        if let Some(Hex(id)) = self.family_id {
            accept.family_id = IdRule::Exactly(id);
        }
        if let Some(Hex(id)) = self.image_id {
            accept.image_id = IdRule::Exactly(id);
        }
        if let Some(least) = self.min_guest_svn {
            accept.min_guest_svn = least;
        }
        if let Some(Hex(id)) = self.report_id {
            accept.report_id = ReportIdRule::Exactly(id);
        }
        accept.migration_agent = match self.migration_agent.as_deref() {
            None => accept.migration_agent,
            Some("any") => MigrationAgentRule::AnyMigrationAgent,
            Some("none") => MigrationAgentRule::NoMigrationAgent,
            Some(id) => {
                let Hex(id) = Hex::try_from(id.to_owned())
                    .map_err(|_| Stop::not_supported("migration_agent is not 'any', 'none' or 32 bytes"))?;
                MigrationAgentRule::Exactly(id)
            }
        };
        if let Some(least) = self.min_report_version {
            accept.min_report_version = least;
        }
        if let Some(name) = self.provisional_firmware {
            accept.provisional_firmware = name.into();
        }
        if let Some(name) = self.reserved_fields {
            accept.reserved_fields = name.into();
        }
        Ok(())
    }
}

/// `any`, `hardware` or `host-virtual`, and so on: a name of the schema for a value of the typed policy.
macro_rules! named {
    ($name:ty => $value:ty { $($variant:ident),* $(,)? }) => {
        impl From<$name> for $value {
            fn from(name: $name) -> Self {
                match name {
                    $(<$name>::$variant => Self::$variant,)*
                }
            }
        }
    };
}

named!(TpmKindKey => TpmKindRule { Any, Hardware, HostVirtual });
named!(AkKey => AkRule { ByCertificate, ByCredential, Either });
named!(BootPhaseKey => BootPhase { Firmware, Initrd, InitrdLeft, SystemInitialised, Ready });
named!(UserDataKey => UserDataRule { NotRequired, Required });

impl CasePolicy {
    /// The typed rule for a quote. PCRs that the case does not pin are taken from the values beside the quote.
    pub(crate) fn tpm_accept(&self, values: &PcrValues) -> Run<TpmAccept> {
        let names = self.tpm_anchors.clone().unwrap_or_default();
        let anchors = names
            .iter()
            .map(|name| {
                name.parse().map_err(|_| Stop::not_supported(format!("'{name}' cannot name anchors")))
            })
            .collect::<Run<_>>()?;
        Ok(TpmAccept {
            anchors,
            kind: self.tpm_kind.map_or(TpmKindRule::Any, TpmKindRule::from),
            pcrs: self.pcr_rules(values)?,
            events: self.event_rules(),
            ima: self.ima_rule(),
            ak: self.ak.map_or(AkRule::Either, AkRule::from),
            ek: match &self.ek {
                None => EkRule::AnyTpm,
                Some(digests) => EkRule::Allow(digests.iter().map(|Hex(digest)| *digest).collect()),
            },
        })
    }

    /// The typed rule for a paravisor's report and its quote.
    pub(crate) fn snp_vtpm_accept(&self, report: &Report, values: &PcrValues) -> Run<SnpVtpmAccept> {
        Ok(SnpVtpmAccept {
            snp: self.snp_accept(report)?,
            pcrs: self.pcr_rules(values)?,
            events: self.event_rules(),
            ima: self.ima_rule(),
            user_data: self.user_data.map_or(UserDataRule::NotRequired, UserDataRule::from),
        })
    }

    fn pcr_rules(&self, values: &PcrValues) -> Run<Vec<PcrRule>> {
        let lasting = |digest: [u8; 32]| ReferenceValue::lasting(digest);
        let all_zero = |index: &u8| match self.all_zero_pcrs.contains(index) {
            true => Permission::Allowed,
            false => Permission::Forbidden,
        };
        let mut rules = match &self.pcrs {
            None => sha256(values)
                .into_iter()
                .map(|PcrValue { index, value }| PcrRule {
                    index,
                    expected: PcrExpectation::Values(vec![lasting(value)]),
                    all_zero: all_zero(&index),
                })
                .collect(),
            Some(pcrs) => pcrs
                .iter()
                .map(|(index, key)| {
                    let index =
                        index.parse().map_err(|_| Stop::not_supported("a PCR index is not a number"))?;
                    let expected = match key {
                        PcrKey::Events(EventsWord::Events) => PcrExpectation::Events,
                        PcrKey::Values(values) => {
                            PcrExpectation::Values(values.iter().map(|Hex(value)| lasting(*value)).collect())
                        }
                    };
                    Ok(PcrRule { index, expected, all_zero: all_zero(&index) })
                })
                .collect::<Run<Vec<_>>>()?,
        };
        rules.sort_by_key(|rule| rule.index);
        Ok(rules)
    }

    fn event_rules(&self) -> EventRules {
        let Some(keys) = &self.events else { return EventRules::NONE };
        let EventKeys {
            secure_boot,
            boot_applications,
            uki_sections,
            boot_phases,
            command_lines,
            allowed,
            unknown_events,
        } = keys.clone();
        let digests = |list: Vec<Hex<32>>| {
            let mut digests: Vec<_> = list.into_iter().map(|Hex(digest)| digest).collect();
            digests.sort_unstable();
            digests
        };
        let mut rules = EventRules {
            secure_boot: BitRule::Any,
            boot_applications: digests(boot_applications),
            uki_sections: uki_sections
                .into_iter()
                .map(|(name, Hex(digest))| UkiSection { name, digest })
                .collect(),
            boot_phases: boot_phases.into_iter().map(BootPhase::from).collect(),
            command_lines,
            allowed: allowed
                .into_iter()
                .map(|(index, list)| AllowedEvents { index, digests: digests(list) })
                .collect(),
            unknown_events,
        };
        set(&mut rules.secure_boot, secure_boot);
        rules
    }

    fn ima_rule(&self) -> ImaRule {
        match &self.ima_allow {
            None => ImaRule::NotRequired,
            Some(digests) => {
                let mut digests: Vec<_> = digests.iter().map(|Hex(digest)| *digest).collect();
                digests.sort_unstable();
                ImaRule::AllowList(digests)
            }
        }
    }
}

/// From the strict rule to the default policy of the schema.
fn loosen(accept: &mut SnpAccept) {
    accept.provisional_firmware = Permission::Allowed;
    accept.platform_info.alias_check_complete = BitRule::Any;
    accept.platform_info.unknown_bits = Permission::Allowed;
    accept.min_report_version = 2;
    accept.migration_agent = MigrationAgentRule::AnyMigrationAgent;
    accept.reserved_fields = Permission::Allowed;
}

fn set(rule: &mut BitRule, name: Option<BitName>) {
    *rule = match name {
        None => return,
        Some(BitName::Any) => BitRule::Any,
        Some(BitName::Forbidden) => BitRule::Forbidden,
        Some(BitName::Required) => BitRule::Required,
    };
}

/// RFC 3339 to seconds since 1970.
fn unix_secs(text: &str) -> Run<u64> {
    OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .and_then(|time| u64::try_from(time.unix_timestamp()).ok())
        .ok_or_else(|| Stop::not_supported(format!("'{text}' is not an RFC 3339 time")))
}
