//! Which of a role's rules accepts: the one place where refusals of several rules become one.

use vouchsafe_protocol::policy::Accept;

use crate::error::AppraisalError;
use crate::snp::rules::Warning;

/// A rule that accepted.
pub(crate) struct Accepted<'a, R> {
    /// Its index among all rules of the role.
    pub(crate) index: usize,
    pub(crate) rule: &'a R,
    pub(crate) warnings: Vec<Warning>,
}

/// The rules of one kind, each with its index among all.
pub(crate) fn of_kind<R>(rules: &[Accept], kind: impl Fn(&Accept) -> Option<&R>) -> Vec<(usize, &R)> {
    let numbered = rules.iter().enumerate();
    numbered.filter_map(|(index, rule)| kind(rule).map(|rule| (index, rule))).collect()
}

/// The first rule that accepts, or the refusal of the rule that got furthest: of equals, the first.
///
/// # Errors
/// [`AppraisalError::Kind`] if there is no rule; else the refusal.
pub(crate) fn first_accepting<'a, R, E: Into<AppraisalError>, S: PartialOrd>(
    rules: &[(usize, &'a R)],
    check: impl Fn(&R) -> Result<Vec<Warning>, E>,
    step: impl Fn(&E) -> S,
) -> Result<Accepted<'a, R>, AppraisalError> {
    let mut furthest: Option<E> = None;
    for (index, rule) in rules {
        match check(rule) {
            Ok(warnings) => return Ok(Accepted { index: *index, rule, warnings }),
            Err(error) => {
                if furthest.as_ref().is_none_or(|kept| step(&error) > step(kept)) {
                    furthest = Some(error);
                }
            }
        }
    }
    Err(furthest.map_or(AppraisalError::Kind, Into::into))
}

/// The first of the rules that accept which also passes `last`, from `first` on; or what `last` said of `first`. Rules
/// behind it are checked only once they are needed.
///
/// # Errors
/// Of `last`.
pub(crate) fn first_passing<'a, R, E>(
    first: Accepted<'a, R>,
    rules: &[(usize, &'a R)],
    check: impl Fn(&R) -> Result<Vec<Warning>, E>,
    mut last: impl FnMut(&R) -> Result<(), AppraisalError>,
) -> Result<Accepted<'a, R>, AppraisalError> {
    let Err(refusal) = last(first.rule) else {
        return Ok(first);
    };
    let later = rules.iter().filter(|(index, _)| *index > first.index);
    let mut accepting = later.filter_map(|(index, rule)| {
        check(rule).ok().map(|warnings| Accepted { index: *index, rule: *rule, warnings })
    });
    accepting.find(|accepted| last(accepted.rule).is_ok()).ok_or(refusal)
}
