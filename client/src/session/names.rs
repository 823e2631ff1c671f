//! Pages of names, one after another.

use super::KvPage;
use super::error::RequestError;

/// Takes a page that must go on after what is there. Gives whether to ask for another, and after which name.
pub(super) fn next(all: &mut Vec<String>, page: KvPage) -> Result<bool, RequestError> {
    let KvPage { names, more } = page;
    let goes_on = names.first() > all.last() && names.is_sorted_by(|a, b| a < b);
    if !names.is_empty() && !goes_on || names.is_empty() && more {
        return Err(RequestError::Unexpected);
    }
    all.extend(names);
    Ok(more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h7_a_page_that_does_not_go_on_is_refused() {
        let page =
            |names: &[&str], more| KvPage { names: names.iter().map(|&name| name.into()).collect(), more };
        let mut all = Vec::new();
        assert!(matches!(next(&mut all, page(&["a", "b"], true)), Ok(true)));
        for wrong in [page(&["b"], false), page(&["a"], false), page(&["d", "c"], false), page(&[], true)] {
            assert!(matches!(next(&mut all, wrong), Err(RequestError::Unexpected)));
        }
        assert!(matches!(next(&mut all, page(&["c"], false)), Ok(false)));
        assert_eq!(all, ["a", "b", "c"]);
    }
}
