//! Settings of secrets and of prefixes, and which of them count.

use vouchsafe_protocol::kv::{KvCasRule, KvEdits, KvLimits, KvScope, KvSettings};
use vouchsafe_protocol::limits::{KV_PREFIXES, KV_VERSIONS_DEFAULT};
use vouchsafe_protocol::refusal::RefusalCode;

use super::{Kv, KvChange, Plan};

impl Kv {
    /// The limits in force: for each of them the secret's own, else that of the longest prefix that sets it,
    /// else the default.
    pub(super) fn limits(&self, path: &str) -> KvLimits {
        let own = self.secrets.get(path).and_then(|secret| secret.extras.as_ref());
        let own = own.map(|extras| &extras.settings);
        let prefixes = std::iter::successors(parent(path), |prefix| parent(prefix));
        let all = || own.into_iter().chain(prefixes.clone().filter_map(|prefix| self.prefixes.get(prefix)));
        KvLimits {
            max_versions: all().find_map(|settings| settings.max_versions).unwrap_or(KV_VERSIONS_DEFAULT),
            cas: all().find_map(|settings| settings.cas).unwrap_or(KvCasRule::Optional),
            delete_after_secs: all().find_map(|settings| settings.delete_after_secs),
        }
    }

    pub(super) fn plan_configure(
        &self,
        scope: KvScope,
        edits: KvEdits,
        now: u64,
    ) -> Result<Plan, RefusalCode> {
        let path = scope.path().as_str();
        let extras = self.secrets.get(path).and_then(|secret| secret.extras.as_deref());
        let before = match &scope {
            KvScope::Below(_) => self.prefixes.get(path),
            KvScope::Secret(_) => extras.map(|extras| &extras.settings),
        };
        if matches!(scope, KvScope::Below(_)) && before.is_none() && self.prefixes.len() >= KV_PREFIXES {
            return Err(RefusalCode::TooLarge);
        }
        let before = before.cloned().unwrap_or_default();
        let settings = KvSettings::edited(before.clone(), edits);
        settings.check(&scope).map_err(|_| RefusalCode::Settings)?;
        // A generator that stays as it was keeps its time.
        let next_secs = if settings.generator == before.generator {
            extras.and_then(|extras| extras.next_secs)
        } else {
            let every = settings.generator.as_ref().and_then(|generator| generator.every_secs);
            every.map(|every| now.saturating_add(every))
        };
        Ok(Plan::change(Vec::new(), KvChange::Configure { scope, settings: Box::new(settings), next_secs }))
    }
}

/// The path one segment shorter.
fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent)
}
