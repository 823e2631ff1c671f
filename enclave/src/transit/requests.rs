//! Requests to the transit engine as the core serves them, and what it does by itself when a rotation is due.

use vouchsafe_protocol::log::{Action, Actor, Decision};
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::refusal::RefusalCode;
use vouchsafe_protocol::session::Reply;
use vouchsafe_protocol::transit::{TransitOperation, TransitRequest};

use super::{Plan, Transit, need};
use crate::change::Change;
use crate::core::Core;
use crate::ports::Ports;
use crate::requests::Decided;

/// Rotations in one step: other requests wait for a few milliseconds at most.
const STEP: usize = 16;

/// What the log calls a request, if it is refused.
pub(crate) fn named(request: &TransitRequest) -> Action {
    let need = need(request);
    let version = match request {
        TransitRequest::Encrypt { version, .. }
        | TransitRequest::Export { version, .. }
        | TransitRequest::Sign { version, .. } => *version,
        TransitRequest::Trim { below, .. } => Some(*below),
        _ => None,
    };
    let items = items(request);
    let operation = need.as_ref().map_or(TransitOperation::Random, |need| need.operation);
    let path = need.map_or_else(String::new, |need| need.path.to_string());
    Action::Transit { operation, path, versions: version.into_iter().collect(), items, failed: items }
}

/// How many items a request has.
fn items(request: &TransitRequest) -> u32 {
    let len = match request {
        TransitRequest::DataKey { items, .. } => items.len(),
        TransitRequest::Decrypt { items, .. } | TransitRequest::Rewrap { items, .. } => items.len(),
        TransitRequest::Encrypt { items, .. } => items.len(),
        TransitRequest::Sign { items, .. } => items.len(),
        TransitRequest::Verify { items, .. } => items.len(),
        _ => 0,
    };
    u32::try_from(len).unwrap_or(u32::MAX)
}

impl Transit {
    /// When the next rotation is due, in seconds since 1970; `u64::MAX` if none is.
    pub fn next_due(&self) -> u64 {
        self.due.first().map_or(u64::MAX, |(at, _)| *at)
    }
}

impl Core {
    pub(crate) fn decide_transit(
        &self,
        request: TransitRequest,
        now: u64,
        ports: &mut dyn Ports,
    ) -> Result<Decided, RefusalCode> {
        let mut action = named(&request);
        let plan = self.state().transit.plan(request, now, ports)?;
        if let Action::Transit { versions, failed, .. } = &mut action {
            *failed = plan.failed;
            if !plan.versions.is_empty() {
                *versions = plan.versions.into_iter().collect();
            }
        }
        Ok(Decided { action, change: plan.change.map(Change::Transit), reply: Reply::Transit(plan.reply) })
    }

    /// One bounded step of the rotations that are due; each has its entry in the journal.
    pub(crate) fn tick_transit(&mut self, now: u64, ports: &mut dyn Ports) -> Result<(), RefusalCode> {
        for _ in 0..STEP {
            let transit = &self.state().transit;
            let Some((_, path)) = transit.due.first().filter(|(at, _)| *at <= now) else { break };
            let path: Path = path.parse().map_err(|_| RefusalCode::Path)?;
            let Plan { change, versions, .. } = transit.plan_rotate(path.clone(), now, ports)?;
            let action = Action::Transit {
                operation: TransitOperation::Rotate,
                path: path.to_string(),
                versions: versions.into_iter().collect(),
                items: 0,
                failed: 0,
            };
            let entry = self.entry((Actor::Vault, None, action, Decision::Allowed), now, ports)?;
            if let Some(change) = change {
                self.commit(&entry, &Change::Transit(change), None);
            }
        }
        Ok(())
    }
}
