//! The direction of dependencies, as part of the security argument: the host cannot decrypt because nothing it
//! links can, and the enclave core has no I/O because nothing it links does any.
//!
//! Checked over `cargo metadata`: normal dependencies, with features as resolved for the whole workspace, which
//! is at least what each crate is built with. Licences, sources and bans are those of `deny.toml`.

#![expect(clippy::unwrap_used, reason = "test helpers; clippy exempts only the tests themselves")]

use std::process::Command;

#[path = "dependency_graph/graph.rs"]
mod graph;
#[path = "dependency_graph/policy.rs"]
mod policy;

use graph::Graph;
use policy::Policy;

/// What a crate must not reach, through any number of others but the [`EXCEPTIONS`].
struct Unreachable {
    from: &'static [&'static str],
    to: &'static [&'static str],
}

const UNREACHABLE: [Unreachable; 5] = [
    // The host moves bytes and stores blobs that it cannot read.
    Unreachable {
        from: &["vouchsafe-host"],
        to: &[
            "vouchsafe-attestation",
            "vouchsafe-client",
            "vouchsafe-crypto",
            "vouchsafe-enclave",
            "vouchsafe-enclave-runtime",
            "vouchsafe-log",
            "vouchsafe-platform",
        ],
    },
    // The core and all below it: no async runtime, no HTTP, no JSON parser, no TPM stack.
    Unreachable {
        from: &[
            "vouchsafe-attestation",
            "vouchsafe-crypto",
            "vouchsafe-enclave",
            "vouchsafe-log",
            "vouchsafe-protocol",
            "vouchsafe-results",
        ],
        to: &[
            "async-std",
            "http",
            "hyper",
            "mio",
            "reqwest",
            "serde_json",
            "simd-json",
            "smol",
            "tokio",
            "tss-esapi",
        ],
    },
    // Verifying touches no machine: what collects is a crate that uses the verifier, never the other way round.
    Unreachable {
        from: &["vouchsafe-attestation"],
        to: &["sev", "vouchsafe-platform", "vouchsafe-simulation"],
    },
    // The whole enclave process opens no network service of its own: no HTTP, no JSON parser.
    Unreachable {
        from: &["vouchsafe-enclave-runtime"],
        to: &["http", "hyper", "reqwest", "serde_json", "simd-json", "vouchsafe-client", "vouchsafe-host"],
    },
    // Leaves.
    Unreachable {
        from: &["vouchsafe-crypto", "vouchsafe-protocol"],
        to: &["vouchsafe-attestation", "vouchsafe-enclave", "vouchsafe-log", "vouchsafe-platform"],
    },
];

/// A use of one crate by another that does not count in [`UNREACHABLE`].
struct Exception {
    user: &'static str,
    used: &'static str,
}

/// The claims of a paravisor are JSON. `attestation` parses them, after a processor's signature
/// (docs/decisions/0008-json-of-the-paravisor.md); nothing else below the core or in it may parse JSON, and
/// `attestation` itself may not through any other crate.
const EXCEPTIONS: [Exception; 1] = [Exception { user: "vouchsafe-attestation", used: "serde_json" }];

/// Crates of ours that may use another crate directly; all others may not.
struct OnlyUsers {
    of: &'static [&'static str],
    users: &'static [&'static str],
}

const ONLY_USERS: [OnlyUsers; 3] = [
    // One place calls primitives. `simulation` stands in for hardware that has its own; `bench` measures ours
    // beside the bare ones.
    OnlyUsers { of: &["ring"], users: &["vouchsafe-bench", "vouchsafe-crypto", "vouchsafe-simulation"] },
    OnlyUsers {
        of: &["aes", "cfb-mode", "ml-kem", "rsa", "sha2"],
        users: &["vouchsafe-crypto", "vouchsafe-simulation"],
    },
    // One strict codec.
    OnlyUsers { of: &["postcard"], users: &["vouchsafe-protocol"] },
];

fn violations(graph: &Graph) -> Vec<String> {
    let mut found = Vec::new();
    let mut strict = graph.clone();
    for Exception { user, used } in &EXCEPTIONS {
        // An exception that nobody needs any more is one too many.
        if !graph.is_empty() && !strict.remove_edge(user, used) {
            found.push(format!("{user} does not use {used}: the exception is not needed"));
        }
    }
    for Unreachable { from, to } in &UNREACHABLE {
        for (from, to) in from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to))) {
            // A renamed crate must not switch its rule off.
            let missing =
                [from, to].into_iter().find(|name| name.starts_with("vouchsafe-") && !graph.has(name));
            match missing {
                Some(name) => found.push(format!("{name} is not in the graph")),
                None => found.extend(strict.path(from, to).map(|path| path.join(" -> "))),
            }
        }
    }
    for OnlyUsers { of, users } in &ONLY_USERS {
        for used in *of {
            let others = graph.direct_users(used).into_iter().filter(|user| !users.contains(&user.as_str()));
            found.extend(others.map(|user| format!("{user} uses {used} directly")));
        }
    }
    found.sort();
    found.dedup();
    found
}

fn metadata() -> Graph {
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--filter-platform", &triple])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Graph::parse(&output.stdout).unwrap()
}

fn deny_toml() -> Policy {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deny.toml");
    toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn h1_the_host_reaches_no_key_and_the_core_no_io() {
    assert_eq!(violations(&metadata()), Vec::<String>::new());
}

#[test]
fn licences_sources_and_bans_are_those_of_deny_toml() {
    assert_eq!(deny_toml().violations(&metadata()), Vec::<String>::new());
}

/// The real graph with one made-up edge more.
fn with_edge(from: &str, to: &str) -> Vec<String> {
    let mut graph = metadata();
    graph.add_edge(from, to);
    violations(&graph)
}

#[test]
fn the_check_finds_what_it_looks_for() {
    assert_eq!(with_edge("vouchsafe-host", "vouchsafe-crypto"), ["vouchsafe-host -> vouchsafe-crypto"]);
    // Through another crate, and named by the path.
    assert_eq!(
        with_edge("metrics", "vouchsafe-crypto").iter().filter(|path| path.contains("metrics")).count(),
        1
    );
    for io in ["tokio", "serde_json", "hyper", "tss-esapi"] {
        let found = with_edge("vouchsafe-enclave", io);
        assert!(found.contains(&format!("vouchsafe-enclave -> {io}")), "{found:?}");
        let found = with_edge("thiserror", io);
        assert!(found.contains(&format!("vouchsafe-protocol -> thiserror -> {io}")), "{found:?}");
    }
    assert_eq!(with_edge("vouchsafe-host", "ring"), ["vouchsafe-host uses ring directly"]);
    assert_eq!(with_edge("vouchsafe-client", "postcard"), ["vouchsafe-client uses postcard directly"]);
}

#[test]
fn the_json_parser_has_one_user_below_the_core() {
    // Through attestation, the enclave does link it; by that edge alone.
    let graph = metadata();
    let path = graph.path("vouchsafe-enclave", "serde_json").unwrap();
    assert_eq!(path, ["vouchsafe-enclave", "vouchsafe-attestation", "serde_json"]);
    // Not for another parser, another user, or another way to the same parser.
    assert_eq!(
        with_edge("vouchsafe-protocol", "serde_json").first().map(String::as_str),
        Some("vouchsafe-attestation -> vouchsafe-protocol -> serde_json")
    );
    let through = with_edge("x509-parser", "serde_json");
    assert!(
        through.contains(&"vouchsafe-attestation -> x509-parser -> serde_json".to_owned()),
        "{through:?}"
    );
    let unneeded = {
        let mut graph = metadata();
        graph.remove_edge("vouchsafe-attestation", "serde_json");
        violations(&graph)
    };
    assert_eq!(unneeded, ["vouchsafe-attestation does not use serde_json: the exception is not needed"]);
}

#[test]
fn a_renamed_crate_does_not_switch_its_rule_off() {
    let found = violations(&Graph::default());
    for Unreachable { from, .. } in &UNREACHABLE {
        for name in *from {
            assert!(found.contains(&format!("{name} is not in the graph")), "{found:?}");
        }
    }
}

#[test]
fn a_foreign_licence_source_or_banned_crate_is_found() {
    let policy = deny_toml();
    let found = |name: &str, licence: Option<&str>, source: &str| {
        let mut graph = Graph::default();
        graph.add_package(name, licence, Some(source));
        policy.violations(&graph)
    };
    let crates_io = "registry+https://github.com/rust-lang/crates.io-index";
    assert_eq!(found("fine", Some("(MIT OR GPL-3.0-only) AND Unicode-3.0"), crates_io), [""; 0]);
    assert_eq!(found("option-ext", Some("MPL-2.0"), crates_io), [""; 0]);
    for licence in ["GPL-3.0-only", "MIT AND GPL-3.0-only", "MPL-2.0", "", "MIT OR", "Apache-2.0 WITH Other"]
    {
        assert_eq!(found("x", Some(licence), crates_io), [format!("x has the licence {licence:?}")]);
    }
    assert_eq!(found("x", None, crates_io), ["x has the licence \"\""]);
    assert_eq!(
        found("x", Some("MIT"), "git+https://example.org/x"),
        ["x comes from git+https://example.org/x"]
    );
    assert_eq!(found("openssl", Some("MIT"), crates_io), ["openssl is banned"]);
}
