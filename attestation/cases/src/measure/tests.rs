//! Against vectors of `sev-snp-measure`, where the directory of evidence is at hand, and against the calculator of
//! the `sev` crate.
