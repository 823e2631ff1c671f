//! A dependency graph as `cargo metadata` tells it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Deserialize;

/// Packages by id.
#[derive(Clone, Default)]
pub(crate) struct Graph(BTreeMap<String, Package>);

#[derive(Clone)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) license: Option<String>,
    /// `None` for a crate of this workspace.
    pub(crate) source: Option<String>,
    /// Ids of its normal dependencies.
    normal: Vec<String>,
}

impl Graph {
    pub(crate) fn parse(metadata: &[u8]) -> Result<Self, serde_json::Error> {
        let Metadata { packages, resolve } = serde_json::from_slice(metadata)?;
        let mut described: BTreeMap<_, _> =
            packages.into_iter().map(|package| (package.id.clone(), package)).collect();
        let mut graph = Self::default();
        for node in resolve.nodes {
            let normal = |dep: &Dep| dep.dep_kinds.iter().any(|kind| kind.kind.is_none());
            let normal = node.deps.iter().filter(|dep| normal(dep)).map(|dep| dep.pkg.clone()).collect();
            if let Some(Described { name, license, source, id }) = described.remove(&node.id) {
                graph.0.insert(id, Package { name, license, source, normal });
            }
        }
        Ok(graph)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.packages().any(|package| package.name == name)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn packages(&self) -> impl Iterator<Item = &Package> {
        self.0.values()
    }

    /// A shortest path of normal dependencies between two crates, by name.
    pub(crate) fn path(&self, from: &str, to: &str) -> Option<Vec<String>> {
        let mut paths: VecDeque<Vec<&String>> = self.ids(from).map(|id| vec![id]).collect();
        let mut seen = BTreeSet::new();
        while let Some(path) = paths.pop_front() {
            let id = *path.last()?;
            let package = self.0.get(id)?;
            if package.name == to {
                return Some(path.iter().filter_map(|id| Some(self.0.get(*id)?.name.clone())).collect());
            }
            for next in package.normal.iter().filter(|next| seen.insert(*next)) {
                paths.push_back(path.iter().copied().chain([next]).collect());
            }
        }
        None
    }

    /// Crates of this workspace that name a crate among their normal dependencies.
    pub(crate) fn direct_users(&self, name: &str) -> Vec<String> {
        let used: Vec<_> = self.ids(name).collect();
        let uses = |package: &&Package| package.normal.iter().any(|id| used.contains(&id));
        let ours = self.packages().filter(|package| package.source.is_none());
        ours.filter(uses).map(|package| package.name.clone()).collect()
    }

    /// Adds an edge between two packages that are there.
    pub(crate) fn add_edge(&mut self, from: &str, to: &str) {
        let to: Vec<_> = self.ids(to).cloned().collect();
        assert!(!to.is_empty() && self.has(from), "no such crates");
        for package in self.0.values_mut().filter(|package| package.name == from) {
            package.normal.extend(to.iter().cloned());
        }
    }

    /// Removes a direct use of one crate by another; false if there is none.
    pub(crate) fn remove_edge(&mut self, from: &str, to: &str) -> bool {
        let to: Vec<_> = self.ids(to).cloned().collect();
        let mut removed = false;
        for package in self.0.values_mut().filter(|package| package.name == from) {
            let before = package.normal.len();
            package.normal.retain(|id| !to.contains(id));
            removed |= package.normal.len() < before;
        }
        removed
    }

    pub(crate) fn add_package(&mut self, name: &str, license: Option<&str>, source: Option<&str>) {
        let (license, source) = (license.map(str::to_owned), source.map(str::to_owned));
        self.0
            .insert(name.to_owned(), Package { name: name.to_owned(), license, source, normal: Vec::new() });
    }

    fn ids(&self, name: &str) -> impl Iterator<Item = &String> {
        self.0.iter().filter(move |(_, package)| package.name == name).map(|(id, _)| id)
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Described>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Described {
    id: String,
    name: String,
    license: Option<String>,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dep>,
}

#[derive(Deserialize)]
struct Dep {
    pkg: String,
    dep_kinds: Vec<DepKind>,
}

#[derive(Deserialize)]
struct DepKind {
    kind: Option<String>,
}
