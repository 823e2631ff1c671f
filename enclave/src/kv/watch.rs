//! Watches: sessions that are told of new versions. They are no state of the vault: they end with their session,
//! and nothing of them is stored.
//!
//! INVARIANT: for each watch at most one number is kept, the newest version that its session was not told of. A
//! session that takes its notices slowly costs no more than one that takes them at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use vouchsafe_protocol::kv::KvNotice;
use vouchsafe_protocol::limits::KV_WATCHES;
use vouchsafe_protocol::log::{Action, Decision, KvOperation};
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::refusal::RefusalCode;

use super::KvChange;
use crate::change::Change;
use crate::core::Core;
use crate::journal::{Pending, PendingBody};
use crate::policy::Need;
use crate::ports::Ports;
use crate::session::SessionId;

/// Who watches what.
#[derive(Default)]
pub(crate) struct Watches {
    by_path: HashMap<Path, BTreeSet<SessionId>>,
    /// The paths of each session, and the newest version that it was not told of.
    by_session: HashMap<SessionId, BTreeMap<Path, Option<u64>>>,
    /// Sessions with something to be told, since somebody asked.
    woken: BTreeSet<SessionId>,
}

impl Watches {
    /// Whether a session may watch one path more.
    pub fn has_room(&self, id: SessionId, path: &Path) -> bool {
        let watched = self.by_session.get(&id);
        watched.is_none_or(|paths| paths.len() < KV_WATCHES || paths.contains_key(path))
    }

    /// Begins a watch; `news` is a version to be told of at once.
    pub fn watch(&mut self, id: SessionId, path: Path, news: Option<u64>) {
        self.by_path.entry(path.clone()).or_default().insert(id);
        self.by_session.entry(id).or_default().insert(path, news);
        self.woken.extend(news.map(|_| id));
    }

    /// Ends a watch.
    pub fn unwatch(&mut self, id: SessionId, path: &Path) {
        if let Some(paths) = self.by_session.get_mut(&id) {
            paths.remove(path);
        }
        if let Some(sessions) = self.by_path.get_mut(path) {
            sessions.remove(&id);
            if sessions.is_empty() {
                self.by_path.remove(path);
            }
        }
    }

    /// Ends all watches of a session.
    pub fn forget(&mut self, id: SessionId) {
        let paths = self.by_session.remove(&id).unwrap_or_default();
        paths.keys().for_each(|path| self.unwatch(id, path));
        self.woken.remove(&id);
    }

    /// Takes notice of what was written.
    pub fn follow(&mut self, change: &Change) {
        let Change::Kv(KvChange::Write(write)) = change else { return };
        let Some(sessions) = self.by_path.get(&write.path) else { return };
        for id in sessions {
            let news = self.by_session.get_mut(id).and_then(|paths| paths.get_mut(&write.path));
            if let Some(news) = news {
                *news = Some(write.version);
                self.woken.insert(*id);
            }
        }
    }

    fn take_news(&mut self, id: SessionId) -> Vec<(Path, u64)> {
        let paths = self.by_session.get_mut(&id).into_iter().flatten();
        paths.filter_map(|(path, news)| Some((path.clone(), news.take()?))).collect()
    }
}

impl Core {
    /// Sessions that have something to be told since the last call; their [`Core::notice`] is to be asked for.
    pub fn take_woken(&mut self) -> Vec<SessionId> {
        std::mem::take(&mut self.watches.woken).into_iter().collect()
    }

    /// What a session is told of the secrets that it watches, once that is durable; nothing if there is nothing
    /// new, or if it could not read what there is (V7): policy, evidence and identity are looked at again, now.
    pub fn notice(&mut self, id: SessionId, now: u64, ports: &mut dyn Ports) -> Option<Pending> {
        let now = self.advance_clock(now);
        if self.has_ended() || self.check_standing(id, now, ports).is_err() {
            return None;
        }
        let news = self.watches.take_news(id);
        let session = self.session(id).ok().filter(|session| session.check_alive(now).is_ok())?;
        let (identity, actor) = (session.newest(), session.actor());
        let mut versions = Vec::new();
        let mut need = self.durable_now();
        for (path, version) in news {
            if self.rule(identity, &Need::read(&path).erased(), now).is_err() {
                continue;
            }
            let action = Action::Kv {
                operation: KvOperation::Notice,
                path: path.to_string(),
                versions: vec![version],
            };
            let entry = self.entry((actor.clone(), None, action, Decision::Allowed), now, ports).ok()?;
            need = self.log_access(&entry, None);
            versions.push((path, version));
        }
        let notice = KvNotice { versions };
        (!notice.versions.is_empty()).then(|| Pending::new(need, PendingBody::Notice(notice)))
    }

    /// Whether a request that watches can be served.
    pub(crate) fn check_watch(&self, id: SessionId, path: &Path) -> Result<(), RefusalCode> {
        if self.watches.has_room(id, path) { Ok(()) } else { Err(RefusalCode::TooLarge) }
    }
}
