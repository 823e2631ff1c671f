use vouchsafe_protocol::policy::{Accept, BootPhase, PcrExpectation, SnpVtpmAccept, TpmAccept};

use super::*;
use crate::policy::compile;

const DIGEST: &str = "0101010101010101010101010101010101010101010101010101010101010101";

fn accept(keys: &str) -> Result<TpmAccept, String> {
    let role = format!(
        "[role.agent]\nspiffe_path = \"/agent\"\nevidence_max_age = \"1h\"\nidentity_ttl = \"1h\"\n\
         [[role.agent.accept]]\nkind = \"tpm\"\nanchors = [\"maker\"]\nek = \"any-tpm\"\n{}",
        keys.replace("ONE", DIGEST)
    );
    let mut roles = compile(&[("role.toml", &role)]).map_err(|error| error.to_string())?;
    match roles.remove(0).accept.remove(0) {
        Accept::Tpm(accept) => Ok(accept),
        Accept::Snp(_) | Accept::SnpVtpm(SnpVtpmAccept { .. }) => panic!("kind"),
    }
}

const ALL: &str = r#"pcrs = { 4 = "events", 7 = "events", 10 = "events", 11 = "events", 12 = "events", 13 = "events" }
ima = { allow = ["ONE"] }
[role.agent.accept.events]
secure_boot = "required"
boot_applications = ["0202020202020202020202020202020202020202020202020202020202020202", "ONE"]
uki_sections = [{ name = ".linux", digest = "ONE" }]
boot_phases = ["initrd", "ready"]
command_lines = ["console=ttyS0"]
allowed = { 13 = ["ONE"], 4 = ["ONE"] }
unknown_events = [7]
"#;

#[test]
fn every_key_about_logs_compiles() {
    let TpmAccept { pcrs, events, ima, .. } = accept(ALL).unwrap();
    assert!(pcrs.iter().all(|pcr| pcr.expected == PcrExpectation::Events));
    assert_eq!(ima, ImaRule::AllowList(vec![[1; 32]]));
    let expected = EventRules {
        secure_boot: BitRule::Required,
        // In ascending order, whatever their order in the file.
        boot_applications: vec![[1; 32], [2; 32]],
        uki_sections: vec![UkiSection { name: ".linux".to_owned(), digest: [1; 32] }],
        boot_phases: vec![BootPhase::Initrd, BootPhase::Ready],
        command_lines: vec!["console=ttyS0".to_owned()],
        allowed: vec![
            AllowedEvents { index: 4, digests: vec![[1; 32]] },
            AllowedEvents { index: 13, digests: vec![[1; 32]] },
        ],
        unknown_events: vec![7],
    };
    assert_eq!(events, expected);
}

#[test]
fn without_keys_about_logs_none_is_looked_at() {
    let accepted = accept("pcrs = { 0 = { values = [\"ONE\"] } }\n").unwrap();
    assert_eq!((accepted.events, accepted.ima), (EventRules::NONE, ImaRule::NotRequired));
    let named = accept("pcrs = { 0 = { values = [\"ONE\"] } }\nima = \"not-required\"\n").unwrap();
    assert_eq!(named.ima, ImaRule::NotRequired);
}

#[test]
fn a_message_names_the_line_of_what_is_wrong() {
    let broken = |from: &str, to: &str| {
        assert!(ALL.contains(from), "{from}");
        accept(&ALL.replacen(from, to, 1)).unwrap_err()
    };
    assert_eq!(
        broken("\"initrd\"", "\"cellar\""),
        "role.toml:15: expected 'firmware', 'initrd', 'initrd-left', 'system-initialised' or 'ready'"
    );
    assert_eq!(
        broken("{ allow = [\"ONE\"] }", "\"any\""),
        "role.toml:10: expected { allow = [\"HEX\"] } with SHA-256 digests of files, or 'not-required'"
    );
    assert_eq!(broken("allow = [\"ONE\"]", "allow = []"), "role.toml:10: no file is listed for the IMA log");
    assert_eq!(
        broken("13 = \"events\"", "13 = { values = [\"ONE\"] }"),
        "role.toml:11: a rule over logs is about PCR 13, which is not judged by events"
    );
    assert_eq!(
        broken("10 = \"events\"", "10 = \"events\", 1 = \"events\""),
        "role.toml:9: PCR 1 is judged by events, and no rule says which events it may hold"
    );
    assert_eq!(
        broken("unknown_events = [7]", "unknown_events = [7, 13]"),
        "role.toml:11: PCR 13 may hold unknown events, so that a list for it has no effect"
    );
    assert_eq!(
        broken("unknown_events = [7]", "unknown_events = [7, 24]"),
        "role.toml:18: expected a whole number from 0 to 23"
    );
    assert!(broken("secure_boot", "secureboot").starts_with("role.toml:12: unknown key 'secureboot'"));
}
