//! What roles refer to by name: releases and sets of them, TCB floors and lists of chips. Each is dated or listed
//! in a file; none is compiled in.

use std::collections::BTreeMap;

use vouchsafe_protocol::policy::{
    ChipId, LaunchDigest, Product, ReferenceValue, Tcb, TcbFloor, TcbFloors, TcbGrace,
};

use super::error::{CompileError, Reason};
use super::reader::{Item, Table};
use floor::Floor;
use release::Release;

pub(super) mod floor;
mod release;

pub(super) use release::pcr_index;

/// Everything that can be referred to, of all files.
#[derive(Default)]
pub(super) struct Definitions<'a> {
    releases: BTreeMap<&'a str, Release>,
    release_sets: BTreeMap<&'a str, Vec<Item<'a>>>,
    pub(super) floors: BTreeMap<&'a str, Floor>,
    chips: BTreeMap<&'a str, Vec<ChipId>>,
}

impl<'a> Definitions<'a> {
    /// Reads the definitions of one file.
    pub(super) fn read(&mut self, file: &mut Table<'a>) -> Result<(), CompileError> {
        read_named(file, "release", &mut self.releases, release::read)?;
        read_named(file, "release_set", &mut self.release_sets, |set| {
            let releases = set.required("releases", "the releases of the set, such as [\"7\", \"6\"]")?;
            let names = releases.list()?;
            if names.is_empty() { Err(releases.fail(Reason::EmptySet)) } else { Ok(names) }
        })?;
        read_named(file, "tcb_floor", &mut self.floors, floor::read)?;
        read_named(file, "chips", &mut self.chips, chips)
    }

    /// Checks what only all files together show: a set is of releases that there are, and shares no name with one.
    pub(super) fn finish(&self) -> Result<(), CompileError> {
        for (name, set) in &self.release_sets {
            for release in set {
                self.one_release(*release)?;
                if self.releases.contains_key(name) {
                    return Err(release.fail(Reason::Repeated { name: (*name).to_owned() }));
                }
            }
        }
        Ok(())
    }

    /// Launch digests of the releases that `names` names: one, a list, or a set.
    pub(super) fn measurements(
        &self,
        names: Item<'a>,
    ) -> Result<Vec<ReferenceValue<LaunchDigest>>, CompileError> {
        let values = |(name, release): (Item<'a>, &Release)| {
            if release.snp.is_empty() {
                return Err(name.fail(Reason::NoMeasurement { name: name.text()?.to_owned() }));
            }
            Ok(release.dated(&release.snp))
        };
        let each: Vec<_> = self.releases(names)?.into_iter().map(values).collect::<Result<_, _>>()?;
        Ok(release::merged(each.into_iter().flatten()))
    }

    /// Values of a PCR in the releases that `names` names: one, a list, or a set.
    pub(super) fn pcr(
        &self,
        names: Item<'a>,
        index: u8,
    ) -> Result<Vec<ReferenceValue<[u8; 32]>>, CompileError> {
        let values = |(name, release): (Item<'a>, &Release)| {
            let Some(values) = release.pcrs.get(&index) else {
                return Err(name.fail(Reason::NoPcr { name: name.text()?.to_owned(), index }));
            };
            Ok(release.dated(values))
        };
        let each: Vec<_> = self.releases(names)?.into_iter().map(values).collect::<Result<_, _>>()?;
        Ok(release::merged(each.into_iter().flatten()))
    }

    /// One floor per product: `floor` is a name, or a table with a name for each TCB of a report; `grace` is lower
    /// and dated.
    pub(super) fn floors(
        &self,
        floor: Item<'a>,
        grace: Option<Item<'a>>,
        products: &[Product],
    ) -> Result<Vec<TcbFloor>, CompileError> {
        let grace = grace.map(|item| -> Result<_, CompileError> {
            let mut table = item.table()?;
            let floor = table.required("floor", "the name of a lower [tcb_floor.NAME]")?;
            let until = table.required("until", "the last day of the grace, YYYY-MM-DD")?.date()?;
            table.finish()?;
            Ok((floor, until.end_unix_secs()))
        });
        let grace = grace.transpose()?;
        let each = |product: &Product| {
            Ok(TcbFloor {
                product: *product,
                floors: self.tcb_floors(floor, *product)?,
                grace: match grace {
                    None => TcbGrace::NoGrace,
                    Some((floor, until_unix_secs)) => {
                        TcbGrace::Until { floors: self.tcb_floors(floor, *product)?, until_unix_secs }
                    }
                },
            })
        };
        products.iter().map(each).collect()
    }

    fn tcb_floors(&self, item: Item<'a>, product: Product) -> Result<TcbFloors, CompileError> {
        if item.is_text() {
            let tcb = self.floor(item, product)?;
            return Ok(TcbFloors { committed: tcb, current: tcb, launch: tcb, reported: tcb });
        }
        let mut table = item.table()?;
        let mut named = |key: &'static str| {
            let item =
                table.required(key, "each of reported, committed, launch and current names a floor")?;
            self.floor(item, product)
        };
        let floors = TcbFloors {
            committed: named("committed")?,
            current: named("current")?,
            launch: named("launch")?,
            reported: named("reported")?,
        };
        table.finish()?;
        Ok(floors)
    }

    fn floor(&self, name: Item<'a>, product: Product) -> Result<Tcb, CompileError> {
        let text = name.text()?;
        let Some(floor) = self.floors.get(text) else {
            return Err(name.fail(Reason::UnknownFloor { name: text.to_owned() }));
        };
        let missing = || name.fail(Reason::NoFloor { name: text.to_owned(), product });
        floor.tcbs.iter().find(|(known, _)| *known == product).map(|(_, tcb)| *tcb).ok_or_else(missing)
    }

    /// The chips that `name` names.
    pub(super) fn chips(&self, name: Item<'a>) -> Result<Vec<ChipId>, CompileError> {
        let text = name.text()?;
        let unknown = || name.fail(Reason::UnknownChips { name: text.to_owned() });
        self.chips.get(text).cloned().ok_or_else(unknown)
    }

    /// The releases that an item names, each with where it is named.
    fn releases(&self, names: Item<'a>) -> Result<Vec<(Item<'a>, &Release)>, CompileError> {
        let named = if names.is_text() { vec![names] } else { names.list()? };
        if named.is_empty() {
            return Err(names.fail(Reason::EmptySet));
        }
        let mut found = Vec::new();
        for name in named {
            match self.release_sets.get(name.text()?) {
                Some(set) => {
                    for member in set {
                        found.push((*member, self.one_release(*member)?));
                    }
                }
                None => found.push((name, self.one_release(name)?)),
            }
        }
        Ok(found)
    }

    fn one_release(&self, name: Item<'a>) -> Result<&Release, CompileError> {
        let text = name.text()?;
        self.releases.get(text).ok_or_else(|| name.fail(Reason::UnknownRelease { name: text.to_owned() }))
    }
}

/// Reads the tables `[section.NAME]`, each name once in all files.
fn read_named<'a, T>(
    file: &mut Table<'a>,
    section: &'static str,
    into: &mut BTreeMap<&'a str, T>,
    read: impl Fn(&mut Table<'a>) -> Result<T, CompileError>,
) -> Result<(), CompileError> {
    let Some(section) = file.optional(section) else {
        return Ok(());
    };
    for entry in section.table()?.entries() {
        let mut table = entry.item.table()?;
        let value = read(&mut table)?;
        table.finish()?;
        if into.insert(entry.key, value).is_some() {
            return Err(entry.fail(Reason::Repeated { name: entry.key.to_owned() }));
        }
    }
    Ok(())
}

fn chips(table: &mut Table<'_>) -> Result<Vec<ChipId>, CompileError> {
    if let Some(date) = table.optional("date") {
        date.date()?;
    }
    table.required("ids", "a list of chip ids")?.parse_list()
}
