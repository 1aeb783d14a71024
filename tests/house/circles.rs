//! No files import each other in a circle: each can be read after those that it imports.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    House, Source,
    scan::{ModulePath, Scanner, What, module_of, resolve},
    sources_under,
};

/// The files that each file imports, without the folders that they stand in: a `mod.rs` and its own files are one thing.
type Imports = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_files_import_each_other_in_a_circle() {
    let imports = imports(&sources_under("src"));
    let edges: usize = imports.values().map(BTreeSet::len).sum();
    assert!(
        edges > 100,
        "only {edges} imports between files were seen: this test has gone blind"
    );
    assert_eq!(circles(&imports), [""; 0]);
}

#[test]
fn a_circle_is_found_however_long() {
    let source = |path: &str, text: &str| Source {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let straight = [
        source("a/mod.rs", "mod b; mod c; pub use self::b::B;"),
        source("a/b.rs", "use super::c::C;"),
        source("a/c.rs", "use crate::d::D;"),
    ];
    assert_eq!(circles(&imports(&straight)), [""; 0]);
    let around = [
        source("lib.rs", "mod a; mod d;"),
        source("a/b.rs", "use super::c::C;"),
        source("a/c.rs", "use crate::d::D;"),
        source("d.rs", "use crate::a::b::B;"),
        source("e.rs", "use crate::a::b::B;"),
    ];
    assert_eq!(circles(&imports(&around)), ["a/b.rs, a/c.rs, d.rs"]);
}

fn imports(sources: &[Source]) -> Imports {
    let files = Files::read(sources);
    let house = House::read(sources);
    let mut imports = Imports::new();
    for (path, finding) in house.shipped() {
        let What::Imports(imported) = &finding.what else {
            continue;
        };
        let Some((module, file)) = files.owner(imported) else {
            continue;
        };
        let own = module_of(path);
        if !own.starts_with(module) && !module.starts_with(&own) {
            imports.entry(path.clone()).or_default().insert(file.to_owned());
        }
    }
    imports
}

/// The files by their modules, and where the names come from that they export for others.
struct Files<'a> {
    paths: BTreeMap<ModulePath, &'a str>,
    exports: BTreeMap<ModulePath, ModulePath>,
}

impl<'a> Files<'a> {
    fn read(sources: &'a [Source]) -> Self {
        let mut files = Self {
            paths: BTreeMap::new(),
            exports: BTreeMap::new(),
        };
        for source in sources {
            let module = module_of(&source.path);
            files.paths.insert(module.clone(), &source.path);
            let mut leaves = Vec::new();
            let mut scanner = Scanner::new(&source.text, module.clone());
            while let Some(word) = scanner.next() {
                if word == "use" {
                    scanner.tree(&[], &mut leaves);
                }
            }
            for leaf in leaves {
                let is_absolute = ["crate", "self", "super"].contains(&leaf.path.first().map_or("", String::as_str));
                let from = if is_absolute {
                    resolve(&leaf.path, &module)
                } else {
                    Some([module.as_slice(), &leaf.path].concat())
                };
                files
                    .exports
                    .extend(from.map(|from| ([module.as_slice(), &[leaf.name]].concat(), from)));
            }
        }
        files
    }

    /// The file in which a name is defined, as far as that shows.
    fn owner(&self, path: &[String]) -> Option<(&ModulePath, &'a str)> {
        let mut path = path.to_vec();
        // A name may be handed on several times.
        for _ in 0..5 {
            match self.exports.get(&path) {
                Some(from) if self.paths.keys().any(|module| from.starts_with(module)) && *from != path => {
                    path.clone_from(from);
                }
                _ => break,
            }
        }
        let mut ends = (1..=path.len()).rev();
        ends.find_map(|end| self.paths.get_key_value(path.get(..end)?))
            .map(|(module, file)| (module, *file))
    }
}

/// Each circle once, by the files in it.
fn circles(imports: &Imports) -> Vec<String> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = imports
        .keys()
        .map(|file| (file.as_str(), reach(imports, file)))
        .collect();
    let mut circles = BTreeSet::new();
    for (file, others) in &reached {
        if others.contains(file) {
            let back = |other: &&&str| reached.get(**other).is_some_and(|others| others.contains(file));
            let members: Vec<_> = others.iter().filter(back).copied().collect();
            circles.insert(members.join(", "));
        }
    }
    circles.into_iter().collect()
}

/// All files that are imported from there on.
fn reach<'a>(imports: &'a Imports, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = vec![from];
    while let Some(file) = next.pop() {
        for imported in imports.get(file).into_iter().flatten() {
            if reached.insert(imported.as_str()) {
                next.push(imported);
            }
        }
    }
    reached
}
