use super::*;
use crate::ports::KernelPorts;
use vouchsafe_crypto::random::RandomError;
use vouchsafe_crypto::signature::{P256Key, SignatureError};
use vouchsafe_crypto::transit::signing::Algorithm;
use vouchsafe_protocol::kv::{Edit, KvEdits, KvGenerator, KvLimits, KvName, KvRule, KvScope};
use vouchsafe_protocol::limits::{KV_CUSTOM, KV_VERSIONS_DEFAULT, LIST_PAGE};

mod generated;

const DAY: u64 = 86_400;

/// A kv engine and a clock.
#[derive(Default)]
pub(super) struct Rig {
    pub kv: Kv,
    pub now: u64,
}

pub(super) fn path(text: &str) -> Path {
    text.parse().unwrap()
}

fn name(text: &str) -> KvName {
    text.parse().unwrap()
}

fn bytes(value: &[u8]) -> KvValue {
    KvValue::Bytes(SecretValue::new(value.to_vec()))
}

fn fields(all: &[(&str, &[u8])]) -> KvFields {
    KvFields::new(&all.iter().map(|(key, value)| (name(key), SecretValue::new(value.to_vec()))).collect())
        .unwrap()
}

fn put_request(at: &str, value: KvValue, cas: Cas, ttl_secs: Option<u64>) -> KvRequest {
    KvRequest::Put { path: path(at), value, cas, ttl_secs }
}

impl Rig {
    pub fn ask(&mut self, request: KvRequest) -> Result<KvReply, RefusalCode> {
        let before = self.digest();
        let planned = self.kv.plan(request, self.now, &mut KernelPorts);
        assert_eq!(self.digest(), before, "planning changes nothing");
        let Plan { reply, change, versions: _ } = planned?;
        match change {
            Some(Change::Kv(change)) => self.kv.apply(&change).unwrap(),
            Some(other) => panic!("{other:?}"),
            None => {}
        }
        Ok(reply)
    }

    pub fn put(&mut self, at: &str, value: &[u8], cas: Cas) -> Result<u64, RefusalCode> {
        self.written(put_request(at, bytes(value), cas, None))
    }

    pub fn written(&mut self, request: KvRequest) -> Result<u64, RefusalCode> {
        match self.ask(request)? {
            KvReply::Written { version } => Ok(version),
            other => panic!("{other:?}"),
        }
    }

    pub fn select(&mut self, at: &str, select: KvSelect) -> Result<(u64, KvValue), RefusalCode> {
        match self.ask(KvRequest::Get { path: path(at), select })? {
            KvReply::Value { version, value, .. } => Ok((version, value)),
            other => panic!("{other:?}"),
        }
    }

    fn get(&mut self, at: &str, version: Option<u64>) -> Result<(u64, Vec<u8>), RefusalCode> {
        let (version, value) = self.select(at, version.map_or(KvSelect::Current, KvSelect::Version))?;
        Ok((version, value.expose_secret().to_vec()))
    }

    pub fn metadata(&mut self, at: &str) -> KvMetadata {
        match self.ask(KvRequest::Metadata { path: path(at) }).unwrap() {
            KvReply::Metadata(metadata) => *metadata,
            other => panic!("{other:?}"),
        }
    }

    fn states(&mut self, at: &str) -> Vec<KvState> {
        self.metadata(at).versions.iter().map(|version| version.state).collect()
    }

    fn names(&mut self, prefix: &str, after: Option<&str>, limit: u16) -> (Vec<String>, bool) {
        let request = KvRequest::List { prefix: path(prefix), after: after.map(str::to_owned), limit };
        match self.ask(request).unwrap() {
            KvReply::Names { names, more } => (names, more),
            other => panic!("{other:?}"),
        }
    }

    fn configure(&mut self, scope: KvScope, edits: KvEdits) -> Result<(), RefusalCode> {
        self.ask(KvRequest::Configure { scope, edits: Box::new(edits) }).map(drop)
    }

    fn digest(&self) -> [u8; 32] {
        let mut all = Vec::new();
        self.kv.digest_into(&mut |part| vouchsafe_crypto::digest::push_lv(&mut all, part));
        vouchsafe_crypto::digest::sha256(&[&all])
    }
}

fn below(prefix: &str) -> KvScope {
    KvScope::Below(path(prefix))
}

fn secret(at: &str) -> KvScope {
    KvScope::Secret(path(at))
}

fn max_versions(max: u16) -> KvEdits {
    KvEdits { max_versions: Edit::Set(max), ..KvEdits::default() }
}

#[test]
fn versions_count_up_and_old_ones_stay_readable() {
    let mut rig = Rig::default();
    assert_eq!(rig.put("kv/a", b"one", Cas::Version(0)), Ok(1));
    assert_eq!(rig.put("kv/a", b"two", Cas::Version(1)), Ok(2));
    assert_eq!(rig.get("kv/a", None), Ok((2, b"two".to_vec())));
    assert_eq!(rig.get("kv/a", Some(1)), Ok((1, b"one".to_vec())));
    assert_eq!(rig.get("kv/a", Some(3)), Err(RefusalCode::NotFound));
    assert_eq!(rig.get("kv/b", None), Err(RefusalCode::NotFound));
    assert_eq!(rig.select("kv/a", KvSelect::Previous).unwrap().0, 1);
    rig.put("kv/b", b"one", Cas::Any).unwrap();
    assert_eq!(rig.select("kv/b", KvSelect::Previous).err(), Some(RefusalCode::NotFound));
}

#[test]
fn v4_check_and_set_refuses_every_other_version() {
    let mut rig = Rig::default();
    assert_eq!(rig.put("kv/a", b"", Cas::Version(1)), Err(RefusalCode::CasMismatch));
    rig.put("kv/a", b"", Cas::Any).unwrap();
    assert_eq!(rig.put("kv/a", b"", Cas::Version(0)), Err(RefusalCode::CasMismatch));
    assert_eq!(rig.put("kv/a", b"", Cas::Version(2)), Err(RefusalCode::CasMismatch));
    assert_eq!(rig.put("kv/a", b"", Cas::Version(1)), Ok(2));
    // The same number a second time has been used.
    assert_eq!(rig.put("kv/a", b"", Cas::Version(1)), Err(RefusalCode::CasMismatch));
}

#[test]
fn check_and_set_can_be_required_by_path_and_by_prefix() {
    let mut rig = Rig::default();
    let required = KvEdits { cas: Edit::Set(KvCasRule::Required), ..KvEdits::default() };
    rig.configure(below("kv/app"), required.clone()).unwrap();
    assert_eq!(rig.put("kv/app/a", b"", Cas::Any), Err(RefusalCode::CasRequired));
    assert_eq!(rig.put("kv/app/a", b"", Cas::Version(0)), Ok(1));
    assert_eq!(rig.put("kv/apps", b"", Cas::Any), Ok(1));
    let patch = KvRequest::Patch {
        path: path("kv/app/a"),
        set: fields(&[("a", b"")]),
        remove: vec![],
        cas: Cas::Any,
        ttl_secs: None,
    };
    assert_eq!(rig.ask(patch).err(), Some(RefusalCode::CasRequired));
    let optional = KvEdits { cas: Edit::Set(KvCasRule::Optional), ..KvEdits::default() };
    rig.configure(secret("kv/app/a"), optional).unwrap();
    assert_eq!(rig.put("kv/app/a", b"", Cas::Any), Ok(2));
    assert_eq!(rig.put("kv/app/b", b"", Cas::Any), Err(RefusalCode::CasRequired));
}

#[test]
fn the_oldest_versions_are_forgotten_beyond_the_limit() {
    let mut rig = Rig::default();
    for _ in 0..=KV_VERSIONS_DEFAULT {
        rig.put("kv/a", b"x", Cas::Any).unwrap();
    }
    assert_eq!(rig.get("kv/a", Some(1)), Err(RefusalCode::NotFound));
    assert!(rig.get("kv/a", Some(2)).is_ok());
    rig.configure(secret("kv/a"), max_versions(3)).unwrap();
    assert_eq!(rig.metadata("kv/a").versions.len(), usize::from(KV_VERSIONS_DEFAULT));
    rig.put("kv/a", b"x", Cas::Any).unwrap();
    let known: Vec<u64> = rig.metadata("kv/a").versions.iter().map(|version| version.version).collect();
    assert_eq!(known, [16, 17, 18]);
    rig.configure(secret("kv/a"), max_versions(u16::try_from(KV_VERSIONS).unwrap())).unwrap();
    for _ in 0..KV_VERSIONS + 2 {
        rig.put("kv/a", b"x", Cas::Any).unwrap();
    }
    assert_eq!(rig.metadata("kv/a").versions.len(), KV_VERSIONS);
}

#[test]
fn a_secret_s_own_limit_counts_before_the_longest_prefix_and_that_before_shorter_ones() {
    let mut rig = Rig::default();
    let limits = |rig: &Rig, at: &str| rig.kv.limits(at);
    let default =
        KvLimits { max_versions: KV_VERSIONS_DEFAULT, cas: KvCasRule::Optional, delete_after_secs: None };
    assert_eq!(limits(&rig, "kv/a/b/c"), default);
    rig.configure(below("kv"), max_versions(1)).unwrap();
    rig.configure(below("kv/a/b"), max_versions(2)).unwrap();
    rig.configure(below("kv/a"), KvEdits { delete_after_secs: Edit::Set(9), ..max_versions(3) }).unwrap();
    assert_eq!(limits(&rig, "kv/x").max_versions, 1);
    assert_eq!(limits(&rig, "kv/a/x").max_versions, 3);
    // What the longest prefix does not set, a shorter one does.
    assert_eq!(limits(&rig, "kv/a/b/c"), KvLimits { max_versions: 2, delete_after_secs: Some(9), ..default });
    // A prefix is whole segments, and not below itself.
    assert_eq!(limits(&rig, "kv/a/bc").max_versions, 3);
    assert_eq!(limits(&rig, "kv/a/b").max_versions, 3);
    rig.configure(secret("kv/a/b/c"), max_versions(4)).unwrap();
    assert_eq!(rig.metadata("kv/a/b/c").limits.max_versions, 4);
    let clear = || KvEdits { max_versions: Edit::Clear, ..KvEdits::default() };
    rig.configure(secret("kv/a/b/c"), clear()).unwrap();
    rig.configure(below("kv/a/b"), clear()).unwrap();
    assert_eq!(limits(&rig, "kv/a/b/c").max_versions, 3);
    assert_eq!(rig.kv.prefixes.len(), 2, "a prefix without settings takes no room");
}

#[test]
fn settings_beyond_their_limits_are_refused() {
    let mut rig = Rig::default();
    let custom = |count: usize, len: usize| KvEdits {
        custom: (0..count).map(|index| (name(&format!("k{index}")), Some("v".repeat(len)))).collect(),
        ..KvEdits::default()
    };
    let life = |secs| KvEdits { delete_after_secs: Edit::Set(secs), ..KvEdits::default() };
    let generator = KvEdits {
        generator: Edit::Set(KvGenerator { rule: KvRule::Uuid, every_secs: None, grace_secs: None }),
        ..KvEdits::default()
    };
    for (scope, edits) in [
        (secret("kv/a"), max_versions(0)),
        (secret("kv/a"), max_versions(257)),
        (secret("kv/a"), life(0)),
        (secret("kv/a"), life(u64::MAX)),
        (secret("kv/a"), custom(1, 513)),
        (secret("kv/a"), custom(KV_CUSTOM + 1, 1)),
        (below("kv/a"), custom(1, 1)),
        (below("kv/a"), generator),
    ] {
        let said = format!("{scope:?} {edits:?}");
        assert_eq!(rig.configure(scope, edits), Err(RefusalCode::Settings), "{said}");
    }
    assert_eq!(rig.kv.len() + rig.kv.prefixes.len(), 0);
    rig.configure(secret("kv/a"), custom(KV_CUSTOM, 512)).unwrap();
    let one_more = KvEdits { custom: vec![(name("more"), Some(String::new()))], ..KvEdits::default() };
    assert_eq!(rig.configure(secret("kv/a"), one_more), Err(RefusalCode::Settings));
    let less = KvEdits { custom: vec![(name("k0"), None)], ..KvEdits::default() };
    rig.configure(secret("kv/a"), less).unwrap();
    let metadata = rig.metadata("kv/a");
    assert_eq!((metadata.current, metadata.settings.custom.len()), (0, KV_CUSTOM - 1));
    assert_eq!(rig.get("kv/a", None), Err(RefusalCode::NotFound));
}

#[test]
fn deleted_versions_come_back_and_destroyed_ones_do_not() {
    let mut rig = Rig::default();
    rig.put("kv/a", b"one", Cas::Any).unwrap();
    rig.put("kv/a", b"two", Cas::Any).unwrap();
    let at = || path("kv/a");
    rig.ask(KvRequest::Delete { path: at(), versions: vec![] }).unwrap();
    assert_eq!(rig.get("kv/a", None), Err(RefusalCode::Deleted));
    assert!(rig.get("kv/a", Some(1)).is_ok());
    rig.ask(KvRequest::Undelete { path: at(), versions: vec![2] }).unwrap();
    assert!(rig.get("kv/a", None).is_ok());
    rig.ask(KvRequest::Destroy { path: at(), versions: vec![1, 2] }).unwrap();
    for gone in [
        KvRequest::Undelete { path: at(), versions: vec![1, 2] },
        KvRequest::Delete { path: at(), versions: vec![2] },
    ] {
        assert_eq!(rig.ask(gone).err(), Some(RefusalCode::Destroyed));
    }
    assert_eq!(rig.get("kv/a", None), Err(RefusalCode::Destroyed));
    let unknown = KvRequest::Destroy { path: at(), versions: vec![1, 3] };
    assert_eq!(rig.ask(unknown).err(), Some(RefusalCode::NotFound));
    let none = KvRequest::Undelete { path: at(), versions: vec![] };
    assert_eq!(rig.ask(none).err(), Some(RefusalCode::NotFound));
}

#[test]
fn what_is_forgotten_never_was() {
    let mut rig = Rig::default();
    let never = rig.digest();
    rig.written(put_request("kv/a", bytes(b"one"), Cas::Any, Some(9))).unwrap();
    rig.configure(secret("kv/a"), max_versions(3)).unwrap();
    rig.ask(KvRequest::Forget { path: path("kv/a") }).unwrap();
    assert_eq!((rig.digest(), rig.kv.next_due()), (never, u64::MAX));
    assert_eq!(rig.ask(KvRequest::Forget { path: path("kv/a") }).err(), Some(RefusalCode::NotFound));
    assert_eq!(rig.put("kv/a", b"new", Cas::Version(0)), Ok(1));
}

#[test]
fn h6_a_version_ends_with_its_time_and_never_comes_back() {
    let mut rig = Rig { now: 1000, ..Rig::default() };
    rig.written(put_request("kv/a", bytes(b"one"), Cas::Any, Some(10))).unwrap();
    rig.put("kv/a", b"two", Cas::Any).unwrap();
    rig.now = 1009;
    assert!(rig.get("kv/a", Some(1)).is_ok());
    rig.now = 1010;
    // Before anything is wiped, and after.
    for _ in 0..2 {
        assert_eq!(rig.get("kv/a", Some(1)), Err(RefusalCode::Expired));
        assert_eq!(rig.states("kv/a"), [KvState::Expired, KvState::Live]);
        for versions in [vec![1], vec![2, 1]] {
            let undelete = KvRequest::Undelete { path: path("kv/a"), versions: versions.clone() };
            assert_eq!(rig.ask(undelete).err(), Some(RefusalCode::Expired));
            let delete = KvRequest::Delete { path: path("kv/a"), versions };
            assert_eq!(rig.ask(delete).err(), Some(RefusalCode::Expired));
        }
        let wipe = KvChange::Expire { path: path("kv/a"), versions: vec![1] };
        rig.kv.apply(&wipe).unwrap();
    }
    // A clock that goes back finds it wiped.
    rig.now = 1000;
    assert_eq!(rig.get("kv/a", Some(1)), Err(RefusalCode::Expired));
    rig.ask(KvRequest::Destroy { path: path("kv/a"), versions: vec![1] }).unwrap();
    assert_eq!(rig.states("kv/a"), [KvState::Destroyed, KvState::Live]);
}

#[test]
fn a_life_is_the_write_s_before_the_settings_and_has_limits() {
    let mut rig = Rig { now: 1000, ..Rig::default() };
    rig.configure(below("kv"), KvEdits { delete_after_secs: Edit::Set(DAY), ..KvEdits::default() }).unwrap();
    rig.put("kv/a", b"", Cas::Any).unwrap();
    rig.written(put_request("kv/a", bytes(b""), Cas::Any, Some(5))).unwrap();
    let ends: Vec<_> = rig.metadata("kv/a").versions.iter().map(|version| version.until_secs).collect();
    assert_eq!(ends, [Some(1000 + DAY), Some(1005)]);
    assert_eq!(rig.kv.next_due(), 1005);
    for secs in [0, KV_LIFE_SECS.end() + 1, u64::MAX] {
        let request = put_request("kv/a", bytes(b""), Cas::Any, Some(secs));
        assert_eq!(rig.written(request), Err(RefusalCode::Settings), "{secs}");
    }
}

#[test]
fn fields_are_merged_without_a_reader() {
    let mut rig = Rig::default();
    let first = fields(&[("host", b"db"), ("password", b"old"), ("user", b"web")]);
    rig.written(put_request("kv/a", first.into(), Cas::Any, None)).unwrap();
    let patch = |set: &[(&str, &[u8])], remove: &[&str], cas| KvRequest::Patch {
        path: path("kv/a"),
        set: fields(set),
        remove: remove.iter().map(|key| name(key)).collect(),
        cas,
        ttl_secs: None,
    };
    assert_eq!(
        rig.written(patch(&[("password", b"new"), ("port", b"1")], &["host"], Cas::Version(1))),
        Ok(2)
    );
    let (_, KvValue::Fields(now)) = rig.select("kv/a", KvSelect::Current).unwrap() else { panic!() };
    let now: Vec<_> = now.iter().collect();
    assert_eq!(now, [("password", b"new".as_slice()), ("port", b"1"), ("user", b"web")]);
    assert_eq!(rig.written(patch(&[], &["user"], Cas::Version(1))), Err(RefusalCode::CasMismatch));
    assert_eq!(rig.written(patch(&[], &["password", "port", "user"], Cas::Any)), Err(RefusalCode::Settings));
    let large = vec![0; KV_VALUE_LEN - 40];
    assert_eq!(rig.written(patch(&[("large", &large)], &[], Cas::Any)), Err(RefusalCode::TooLarge));
    rig.ask(KvRequest::Delete { path: path("kv/a"), versions: vec![] }).unwrap();
    assert_eq!(rig.written(patch(&[("a", b"")], &[], Cas::Any)), Err(RefusalCode::Deleted));
    rig.put("kv/a", b"bytes", Cas::Any).unwrap();
    assert_eq!(rig.written(patch(&[("a", b"")], &[], Cas::Any)), Err(RefusalCode::NoFields));
    rig.ask(KvRequest::Forget { path: path("kv/a") }).unwrap();
    assert_eq!(rig.written(patch(&[("a", b"")], &[], Cas::Any)), Err(RefusalCode::NotFound));
}

#[test]
fn metadata_tells_states_and_no_values() {
    let mut rig = Rig::default();
    for value in [b"one", b"two", b"six"] {
        rig.put("kv/a", value, Cas::Any).unwrap();
    }
    rig.ask(KvRequest::Delete { path: path("kv/a"), versions: vec![1] }).unwrap();
    rig.ask(KvRequest::Destroy { path: path("kv/a"), versions: vec![2] }).unwrap();
    assert_eq!(rig.metadata("kv/a").current, 3);
    assert_eq!(rig.states("kv/a"), [KvState::Deleted, KvState::Destroyed, KvState::Live]);
}

#[test]
fn a_list_shows_one_level_and_pages_without_loss() {
    let mut rig = Rig::default();
    for at in ["kv/a", "kv/a-b", "kv/a/x", "kv/a/y", "kv/b/c/d", "kv/c", "kvx/z"] {
        rig.put(at, b"", Cas::Any).unwrap();
    }
    let all = ["a", "a-b", "a/", "b/", "c"].map(String::from);
    assert_eq!(rig.names("kv", None, 0), (all.to_vec(), false));
    assert_eq!(rig.names("kv/a", None, 0).0, ["x", "y"]);
    assert_eq!(rig.names("kv", Some("a-b"), 0).0, ["a/", "b/", "c"]);
    assert_eq!(rig.names("kv", Some("a/"), 0).0, ["b/", "c"]);
    assert_eq!(rig.names("kv", Some("c"), 0).0, Vec::<String>::new());
    assert_eq!(rig.names("none", None, 0), (vec![], false));
    // Pages of every size are the whole.
    for limit in 1..=6 {
        let (mut names, mut more) = (Vec::<String>::new(), true);
        while more {
            let (page, rest) = rig.names("kv", names.last().map(String::as_str), limit);
            assert!(page.len() <= usize::from(limit));
            (more, names) = (rest, [names, page].concat());
        }
        assert_eq!(names, all);
    }
    for index in 0..LIST_PAGE + 5 {
        rig.put(&format!("kv/many/{index:05}"), b"", Cas::Any).unwrap();
    }
    let (first, more) = rig.names("kv/many", None, u16::MAX);
    assert_eq!((first.len(), more), (LIST_PAGE, true));
    let (rest, more) = rig.names("kv/many", first.last().map(String::as_str), 0);
    assert_eq!((rest.len(), more), (5, false));
}

#[test]
fn v1_a_list_goes_on_only_after_a_name_in_its_one_form() {
    let mut rig = Rig::default();
    rig.put("kv/a", b"", Cas::Any).unwrap();
    for after in ["", "/", "//", "a//", "a/b", "../a", ".", "a ", "\0", &"a".repeat(513)] {
        let request = KvRequest::List { prefix: path("kv"), after: Some(after.to_owned()), limit: 0 };
        assert_eq!(rig.ask(request).err(), Some(RefusalCode::Path), "{after:?}");
    }
}

#[test]
fn v3_a_refused_plan_changes_nothing() {
    let mut rig = Rig::default();
    rig.put("kv/a", b"one", Cas::Any).unwrap();
    let before = rig.digest();
    assert_eq!(rig.put("kv/a", &vec![0; KV_VALUE_LEN + 1], Cas::Any), Err(RefusalCode::TooLarge));
    assert!(rig.ask(KvRequest::Delete { path: path("kv/b"), versions: vec![] }).is_err());
    let none =
        KvRequest::Put { path: path("kv/a"), value: fields(&[]).into(), cas: Cas::Any, ttl_secs: None };
    assert_eq!(rig.ask(none).err(), Some(RefusalCode::Settings));
    assert_eq!(rig.digest(), before);
    assert_eq!(rig.put("kv/a", &vec![0; KV_VALUE_LEN], Cas::Any), Ok(2));
}

#[test]
fn a_change_that_was_not_planned_here_does_not_fit() {
    let mut rig = Rig::default();
    rig.put("kv/a", b"one", Cas::Any).unwrap();
    let write = Write {
        path: path("kv/a"),
        version: 3,
        created_secs: 0,
        until_secs: None,
        value: bytes(b""),
        retire_secs: None,
        generator: None,
    };
    assert_eq!(rig.kv.apply(&KvChange::Write(Box::new(write))), Err(crate::state::Inconsistent));
    assert_eq!(rig.kv.apply(&KvChange::Forget { path: path("kv/b") }), Err(crate::state::Inconsistent));
}

/// Randomness that ends.
pub(super) struct NoRandomness;

impl Ports for NoRandomness {
    fn random(&mut self, _: &mut [u8]) -> Result<(), RandomError> {
        Err(RandomError::Kernel)
    }

    fn new_key(&mut self) -> Result<P256Key, SignatureError> {
        Err(SignatureError::Random)
    }

    fn new_signing_key(&mut self, _: Algorithm) -> Result<SecretBytes, SignatureError> {
        Err(SignatureError::Random)
    }
}
