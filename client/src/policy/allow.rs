//! `[[role.NAME.allow]]` and `[[role.NAME.deny]]`: what may be done, when, and for how long it is kept.

use vouchsafe_protocol::policy::{
    AgeCondition, Allow, Conditions, Deny, Hours, HoursCondition, LeaseTerms, PlatformCondition, Renewal,
};

use super::error::{CompileError, Reason};
use super::reader::{Item, Table};

const PATH: &str = "a path; '+' or '{role}' may stand for a segment, '/*' at its end for all below";
const EVERY_DAY: u8 = 0b111_1111;

pub(super) fn allow(mut table: Table<'_>) -> Result<Allow, CompileError> {
    let path = table.required("path", PATH)?.text()?.to_owned();
    let can = table.required("can", "what may be done there, such as [\"read\"]")?.parse_list()?;
    let lease = lease(&mut table)?;
    let when = Conditions {
        evidence_age: match table.optional("evidence_age") {
            Some(item) => AgeCondition::AtMost(item.duration()?),
            None => AgeCondition::AsRole,
        },
        platform: match table.optional("platform") {
            Some(item) => PlatformCondition::OneOf(item.parse_list()?),
            None => PlatformCondition::AsRole,
        },
        hours: hours(&mut table)?,
    };
    table.finish()?;
    Ok(Allow { path, can, lease, when })
}

pub(super) fn deny(mut table: Table<'_>) -> Result<Deny, CompileError> {
    let path = table.required("path", PATH)?.text()?.to_owned();
    let cannot = table.required("cannot", "what is refused there, such as [\"write\"]")?.parse_list()?;
    table.finish()?;
    Ok(Deny { path, cannot })
}

/// `lease` is until the first renewal, `max_lease` until the end; one alone stands for both.
fn lease(table: &mut Table<'_>) -> Result<LeaseTerms, CompileError> {
    let renewal = table.optional("renew");
    let (ttl, max) = (table.optional("lease"), table.optional("max_lease"));
    let (Some(first), Some(last)) = (ttl.or(max), max.or(ttl)) else {
        return match renewal {
            Some(item) => {
                Err(item.fail(Reason::Value { expected: "a lease to renew: set 'lease' or 'max_lease' too" }))
            }
            None => Ok(LeaseTerms::None),
        };
    };
    let renewal = renewal.map_or(Ok(Renewal::SameEvidence), |item| item.parse())?;
    Ok(LeaseTerms::Lease { ttl_secs: first.duration()?, max_secs: last.duration()?, renewal })
}

/// `hours = "08:00-18:00"`, in UTC, and `days = ["mon", "fri"]`.
fn hours(table: &mut Table<'_>) -> Result<HoursCondition, CompileError> {
    let (hours, days) = (table.optional("hours"), table.optional("days"));
    if hours.is_none() && days.is_none() {
        return Ok(HoursCondition::Always);
    }
    let (from_minute, until_minute) = match hours {
        Some(item) => window(&item)?,
        None => (0, 1440),
    };
    let days = match days {
        Some(item) => item.list()?.iter().try_fold(0, |days, item| Ok(days | day(item)?))?,
        None => EVERY_DAY,
    };
    Ok(HoursCondition::Within(Hours { from_minute, until_minute, days }))
}

fn window(item: &Item<'_>) -> Result<(u16, u16), CompileError> {
    let minute = |text: &str| {
        let (hours, minutes) = text.split_once(':')?;
        let number = |text: &str, most: u16| {
            let two_digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            two_digits.then(|| text.parse().ok())?.filter(|number: &u16| *number <= most)
        };
        Some(number(hours, 24)? * 60 + number(minutes, 59)?)
    };
    let read = || {
        let (from, until) = item.text().ok()?.split_once('-')?;
        Some((minute(from)?, minute(until)?))
    };
    read().ok_or_else(|| item.fail(Reason::Value { expected: "two times in UTC, such as \"08:00-18:00\"" }))
}

fn day(item: &Item<'_>) -> Result<u8, CompileError> {
    let name = item.text()?;
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let bit = (0..).zip(days).find(|(_, day)| *day == name).map(|(bit, _): (u8, _)| 1 << bit);
    bit.ok_or_else(|| {
        item.fail(Reason::Value { expected: "'mon', 'tue', 'wed', 'thu', 'fri', 'sat' or 'sun'" })
    })
}
