//! What the vault does to secrets by itself: it wipes versions whose time is over and makes the next ones.

use vouchsafe_protocol::log::{Action, Actor, Decision, KvOperation};
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::refusal::RefusalCode;

use super::{Kv, KvChange, Version};
use crate::change::Change;
use crate::core::Core;
use crate::ports::Ports;

/// Changes in one step: other requests wait for less than a millisecond.
const STEP: usize = 64;

/// One thing that is due.
struct Due {
    operation: KvOperation,
    path: Path,
    versions: Vec<u64>,
    change: KvChange,
}

impl Kv {
    /// When the next thing is due, in seconds since 1970; `u64::MAX` if nothing is.
    pub fn next_due(&self) -> u64 {
        self.due.first().map_or(u64::MAX, |(at, _)| *at)
    }

    /// The next thing that is due: wiping comes before making.
    fn due(&self, now: u64, ports: &mut dyn Ports) -> Result<Option<Due>, RefusalCode> {
        let Some((_, path)) = self.due.first().filter(|(at, _)| *at <= now) else { return Ok(None) };
        let path: Path = path.parse().map_err(|_| RefusalCode::Path)?;
        let over = |version: &&Version| {
            version.content.is_held() && version.until_secs.is_some_and(|until| until <= now)
        };
        let ended = self.secret(&path)?.versions.iter().filter(over);
        let versions: Vec<u64> = ended.map(|version| version.number).collect();
        if versions.is_empty() {
            let write = self.plan_rotate(&path, now, ports)?;
            let versions = vec![write.version];
            let change = KvChange::Write(Box::new(write));
            return Ok(Some(Due { operation: KvOperation::Rotate, path, versions, change }));
        }
        let change = KvChange::Expire { path: path.clone(), versions: versions.clone() };
        Ok(Some(Due { operation: KvOperation::Expire, path, versions, change }))
    }
}

impl Core {
    /// One bounded step of what is due; each change has its entry in the journal.
    pub(crate) fn tick_kv(&mut self, now: u64, ports: &mut dyn Ports) -> Result<(), RefusalCode> {
        for _ in 0..STEP {
            let Some(due) = self.state().kv.due(now, ports)? else { break };
            let Due { operation, path, versions, change } = due;
            let action = Action::Kv { operation, path: path.to_string(), versions };
            let entry = self.entry((Actor::Vault, None, action, Decision::Allowed), now, ports)?;
            self.commit(&entry, &Change::Kv(change), None);
        }
        Ok(())
    }
}
