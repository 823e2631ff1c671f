use super::*;

fn path(text: &str) -> Path {
    text.parse().unwrap()
}

fn put(kv: &mut Kv, at: &str, value: &[u8], cas: Cas) -> Result<u64, RefusalCode> {
    let request = KvRequest::Put { path: path(at), value: SecretValue::new(value.to_vec()), cas };
    let plan = kv.plan(request, 7)?;
    apply(kv, &plan.change.unwrap());
    match plan.reply {
        KvReply::Written { version } => Ok(version),
        other => panic!("{other:?}"),
    }
}

fn apply(kv: &mut Kv, change: &Change) {
    match change {
        Change::Put { path, version, created_secs, value } => {
            kv.apply_put(path, *version, *created_secs, value)
        }
        Change::Delete { path, versions } => kv.apply_deleted(path, versions, true),
        Change::Undelete { path, versions } => kv.apply_deleted(path, versions, false),
        Change::Destroy { path, versions } => kv.apply_destroy(path, versions),
        _ => panic!("not a kv change"),
    }
}

fn get(kv: &Kv, at: &str, version: Option<u64>) -> Result<(u64, Vec<u8>), RefusalCode> {
    match kv.plan(KvRequest::Get { path: path(at), version }, 0)?.reply {
        KvReply::Value { version, value, .. } => Ok((version, value.expose_secret().to_vec())),
        other => panic!("{other:?}"),
    }
}

fn change(kv: &mut Kv, request: KvRequest) -> Result<(), RefusalCode> {
    let plan = kv.plan(request, 0)?;
    apply(kv, &plan.change.unwrap());
    Ok(())
}

fn names(kv: &Kv, prefix: &str, after: Option<&str>) -> (Vec<String>, bool) {
    let request = KvRequest::List { prefix: path(prefix), after: after.map(str::to_owned) };
    match kv.plan(request, 0).unwrap().reply {
        KvReply::Names { names, more } => (names, more),
        other => panic!("{other:?}"),
    }
}

#[test]
fn versions_count_up_and_old_ones_stay_readable() {
    let mut kv = Kv::default();
    assert_eq!(put(&mut kv, "kv/a", b"one", Cas::Version(0)), Ok(1));
    assert_eq!(put(&mut kv, "kv/a", b"two", Cas::Version(1)), Ok(2));
    assert_eq!(get(&kv, "kv/a", None), Ok((2, b"two".to_vec())));
    assert_eq!(get(&kv, "kv/a", Some(1)), Ok((1, b"one".to_vec())));
    assert_eq!(get(&kv, "kv/a", Some(3)), Err(RefusalCode::NotFound));
    assert_eq!(get(&kv, "kv/b", None), Err(RefusalCode::NotFound));
}

#[test]
fn check_and_set_refuses_every_other_version() {
    let mut kv = Kv::default();
    assert_eq!(put(&mut kv, "kv/a", b"", Cas::Version(1)), Err(RefusalCode::CasMismatch));
    put(&mut kv, "kv/a", b"", Cas::Any).unwrap();
    assert_eq!(put(&mut kv, "kv/a", b"", Cas::Version(0)), Err(RefusalCode::CasMismatch));
    assert_eq!(put(&mut kv, "kv/a", b"", Cas::Version(2)), Err(RefusalCode::CasMismatch));
    assert_eq!(put(&mut kv, "kv/a", b"", Cas::Version(1)), Ok(2));
}

#[test]
fn the_oldest_version_is_forgotten_beyond_the_limit() {
    let mut kv = Kv::default();
    for _ in 0..=KV_VERSIONS {
        put(&mut kv, "kv/a", b"x", Cas::Any).unwrap();
    }
    assert_eq!(get(&kv, "kv/a", Some(1)), Err(RefusalCode::NotFound));
    assert!(get(&kv, "kv/a", Some(2)).is_ok());
}

#[test]
fn deleted_versions_come_back_and_destroyed_ones_do_not() {
    let mut kv = Kv::default();
    put(&mut kv, "kv/a", b"one", Cas::Any).unwrap();
    put(&mut kv, "kv/a", b"two", Cas::Any).unwrap();
    let at = || path("kv/a");
    change(&mut kv, KvRequest::Delete { path: at(), versions: vec![] }).unwrap();
    assert_eq!(get(&kv, "kv/a", None), Err(RefusalCode::Deleted));
    assert!(get(&kv, "kv/a", Some(1)).is_ok());
    change(&mut kv, KvRequest::Undelete { path: at(), versions: vec![2] }).unwrap();
    assert!(get(&kv, "kv/a", None).is_ok());
    change(&mut kv, KvRequest::Destroy { path: at(), versions: vec![1, 2] }).unwrap();
    for gone in [
        KvRequest::Undelete { path: at(), versions: vec![1, 2] },
        KvRequest::Delete { path: at(), versions: vec![2] },
    ] {
        assert_eq!(change(&mut kv, gone), Err(RefusalCode::Destroyed));
    }
    assert_eq!(get(&kv, "kv/a", None), Err(RefusalCode::Destroyed));
    let unknown = KvRequest::Destroy { path: at(), versions: vec![1, 3] };
    assert_eq!(change(&mut kv, unknown), Err(RefusalCode::NotFound));
    let none = KvRequest::Undelete { path: at(), versions: vec![] };
    assert_eq!(change(&mut kv, none), Err(RefusalCode::NotFound));
}

#[test]
fn metadata_tells_states_and_no_values() {
    let mut kv = Kv::default();
    for value in [b"one", b"two", b"six"] {
        put(&mut kv, "kv/a", value, Cas::Any).unwrap();
    }
    change(&mut kv, KvRequest::Delete { path: path("kv/a"), versions: vec![1] }).unwrap();
    change(&mut kv, KvRequest::Destroy { path: path("kv/a"), versions: vec![2] }).unwrap();
    let KvReply::Metadata(known) = kv.plan(KvRequest::Metadata { path: path("kv/a") }, 0).unwrap().reply
    else {
        panic!("no metadata");
    };
    let states: Vec<_> = known.versions.iter().map(|version| version.state).collect();
    assert_eq!((known.current, states), (3, vec![KvState::Deleted, KvState::Destroyed, KvState::Live]));
}

#[test]
fn a_list_shows_one_level_and_pages_without_loss() {
    let mut kv = Kv::default();
    for at in ["kv/a", "kv/a-b", "kv/a/x", "kv/a/y", "kv/b/c/d", "kv/c", "kvx/z"] {
        put(&mut kv, at, b"", Cas::Any).unwrap();
    }
    assert_eq!(names(&kv, "kv", None), (["a", "a-b", "a/", "b/", "c"].map(String::from).to_vec(), false));
    assert_eq!(names(&kv, "kv/a", None).0, ["x", "y"]);
    assert_eq!(names(&kv, "kv", Some("a-b")).0, ["a/", "b/", "c"]);
    assert_eq!(names(&kv, "kv", Some("a/")).0, ["b/", "c"]);
    assert_eq!(names(&kv, "kv", Some("c")).0, Vec::<String>::new());
    assert_eq!(names(&kv, "none", None), (vec![], false));
    for index in 0..LIST_PAGE + 5 {
        put(&mut kv, &format!("kv/many/{index:05}"), b"", Cas::Any).unwrap();
    }
    let (first, more) = names(&kv, "kv/many", None);
    assert_eq!((first.len(), more), (LIST_PAGE, true));
    let (rest, more) = names(&kv, "kv/many", first.last().map(String::as_str));
    assert_eq!((rest.len(), more), (5, false));
}

#[test]
fn v3_a_refused_plan_changes_nothing() {
    let mut kv = Kv::default();
    put(&mut kv, "kv/a", b"one", Cas::Any).unwrap();
    let digest = |kv: &Kv| {
        let mut all = Vec::new();
        kv.digest_into(&mut |part| all.push(part.to_vec()));
        all
    };
    let before = digest(&kv);
    let too_long = SecretValue::new(vec![0; KV_VALUE_LEN + 1]);
    let refused = kv.plan(KvRequest::Put { path: path("kv/a"), value: too_long, cas: Cas::Any }, 0);
    assert_eq!(refused.err(), Some(RefusalCode::TooLarge));
    assert!(change(&mut kv, KvRequest::Delete { path: path("kv/b"), versions: vec![] }).is_err());
    assert_eq!(digest(&kv), before);
}
