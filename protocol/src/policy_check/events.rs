//! Whether rules over logs may load.

use crate::policy::{EventRules, ImaRule, PcrExpectation, PcrRule};

/// Why rules over logs do not load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventsError {
    /// Step 1.
    #[error("PCR {index} is judged by events, and no rule over events names it")]
    NoRule {
        /// PCR.
        index: u8,
    },
}

/// Checks rules over logs for the PCRs of a rule.
///
/// 1. Each PCR that is judged by events has a rule over its events.
///
/// # Errors
/// [`EventsError`], one variant per step.
pub fn check_events(pcrs: &[PcrRule], events: &EventRules, ima: &ImaRule) -> Result<(), EventsError> {
    let EventRules {} = events;
    let judged = |index| matches!(ima, ImaRule::AllowList(_)) && index == 10;
    let unjudged = pcrs.iter().find(|rule| rule.expected == PcrExpectation::Events && !judged(rule.index));
    unjudged.map_or(Ok(()), |rule| Err(EventsError::NoRule { index: rule.index }))
}
