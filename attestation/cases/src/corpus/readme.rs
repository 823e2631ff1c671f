//! `README.md` of a written corpus.

use crate::suite::Suite;

pub(super) fn describe(_suite: &Suite) -> String {
    String::new()
}
