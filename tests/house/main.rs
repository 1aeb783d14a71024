//! The floors of the house, `capacity ← {probe, tenant} ← resource ← admission ← respond ← guard`: a lower one never imports a
//! higher one. And no file grows long, and the library never gives up by `unwrap`, `todo` or `unimplemented`.
//! What the documentation shows compiles, and its links lead somewhere.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod broken;
mod circles;
mod pages;
mod scan;
mod tokens;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use scan::{Finding, ModulePath, Scanner, What, module_of};

/// Each may import those with a smaller number. Equal ones do not know each other.
const FLOORS: [(&str, u8); 10] = [
    ("sync", 0),
    ("background", 1),
    ("capacity", 1),
    ("clock", 1),
    ("probe", 2),
    ("tenant", 2),
    ("resource", 3),
    ("admission", 4),
    ("respond", 5),
    ("guard", 6),
];

/// Folders that may import everything, and that no floor may import.
const BESIDE: [&str; 3] = ["config", "observe", "test_util"];

const LINES: usize = 500;

#[test]
fn no_floor_imports_a_higher_one_and_nothing_gives_up() {
    let sources = sources_under("src");
    let house = House::read(&sources);
    let crossing = house.imports().filter(|(from, to)| from != to).count();
    assert!(
        crossing > 20,
        "only {crossing} imports between floors were seen: this test has gone blind"
    );
    assert_eq!(house.complaints(), [""; 0]);
}

#[test]
fn no_file_is_long() {
    let long: Vec<_> = ["src", "tests", "examples", "benches"]
        .into_iter()
        .flat_map(|folder| {
            too_long(&sources_under(folder))
                .into_iter()
                .map(move |file| format!("{folder}/{file}"))
        })
        .collect();
    assert_eq!(long, [""; 0]);
}

fn too_long(sources: &[Source]) -> Vec<String> {
    sources
        .iter()
        .map(|source| (source.text.lines().count(), &source.path))
        .filter(|&(lines, _)| lines >= LINES)
        .map(|(lines, path)| format!("{path}: {lines} lines, must be under {LINES}"))
        .collect()
}

/// A file, by its path below `src`.
struct Source {
    path: String,
    text: String,
}

fn sources_under(folder: &str) -> Vec<Source> {
    fn visit(root: &Path, folder: &Path, sources: &mut Vec<Source>) {
        let mut entries: Vec<PathBuf> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                visit(root, &path, sources);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(root).unwrap().components();
                let names: Vec<_> = below.map(|name| name.as_os_str().to_str().unwrap()).collect();
                sources.push(Source {
                    path: names.join("/"),
                    text: fs::read_to_string(&path).unwrap(),
                });
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut sources = Vec::new();
    if root.is_dir() {
        visit(&root, &root, &mut sources);
    }
    sources
}

struct House {
    findings: Vec<(String, Finding)>,
    /// Modules compiled for our own tests only: those may do anything.
    test_modules: Vec<ModulePath>,
    root: Root,
}

impl House {
    fn read(sources: &[Source]) -> Self {
        let mut house = Self {
            findings: Vec::new(),
            test_modules: Vec::new(),
            root: Root::default(),
        };
        for source in sources {
            let scan = Scanner::new(&source.text, module_of(&source.path)).run();
            house
                .findings
                .extend(scan.findings.into_iter().map(|finding| (source.path.clone(), finding)));
            house.test_modules.extend(scan.test_modules);
            if source.path == "lib.rs" {
                house.root = Root::read(&source.text);
            }
        }
        house
    }

    fn shipped(&self) -> impl Iterator<Item = &(String, Finding)> {
        self.findings
            .iter()
            .filter(|(_, finding)| !self.test_modules.iter().any(|test| finding.module.starts_with(test)))
    }

    /// Who imports whom, by folder, where both are known.
    fn imports(&self) -> impl Iterator<Item = (&str, &str)> {
        self.shipped().filter_map(|(_, finding)| match &finding.what {
            What::Imports(path) => Some((finding.module.first()?.as_str(), self.root.owner(path).ok()??)),
            What::Forbidden(_) => None,
        })
    }

    fn complaints(&self) -> Vec<String> {
        self.shipped()
            .filter_map(|(path, finding)| Some(format!("{path}:{}: {}", finding.line, self.complaint(finding)?)))
            .chain(self.root.complaints.iter().cloned())
            .collect()
    }

    fn complaint(&self, finding: &Finding) -> Option<String> {
        let path = match &finding.what {
            What::Forbidden(why) => return Some(why.clone()),
            What::Imports(path) => path,
        };
        let from = finding.module.first()?;
        if BESIDE.contains(&from.as_str()) {
            return None;
        }
        let Some(own) = floor(from) else {
            return Some(format!("`{from}` has no floor: give it one in this test"));
        };
        match self.root.owner(path) {
            Ok(None) => None,
            Ok(Some(to)) if to == from || floor(to).is_some_and(|floor| floor < own) => None,
            Ok(Some(to)) => Some(format!("`{from}` imports `{to}` ({})", path.join("::"))),
            Err(why) => Some(why),
        }
    }
}

fn floor(folder: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == folder).map(|(_, floor)| *floor)
}

/// What the names at the crate root stand for.
#[derive(Default)]
struct Root {
    /// The folder behind a name; none where `lib.rs` or another crate defines it.
    owners: BTreeMap<String, Option<String>>,
    complaints: Vec<String>,
}

impl Root {
    fn read(lib: &str) -> Self {
        let mut root = Self::default();
        let mut uses = Vec::new();
        let mut scanner = Scanner::new(lib, Vec::new());
        let mut depth = 0_usize;
        while let Some(word) = scanner.next() {
            match word {
                "{" => depth += 1,
                "}" => depth -= 1,
                "use" if depth == 0 => scanner.tree(&[], &mut uses),
                "mod" if depth == 0 => {
                    let name = scanner.peek().unwrap_or_default().to_owned();
                    root.owners.insert(name.clone(), Some(name));
                }
                "const" | "enum" | "fn" | "static" | "struct" | "trait" | "type" | "union" if depth == 0 => {
                    root.owners.insert(scanner.peek().unwrap_or_default().to_owned(), None);
                }
                _ => {}
            }
        }
        for leaf in uses {
            let mut path = leaf
                .path
                .iter()
                .skip_while(|name| ["crate", "self"].contains(&name.as_str()));
            let owner = path.next().and_then(|first| root.owners.get(first)).cloned().flatten();
            if leaf.name == "*" {
                root.complaints
                    .push(format!("lib.rs:{}: names what it re-exports, one by one", leaf.line));
            }
            root.owners.insert(leaf.name, owner);
        }
        root
    }

    fn owner(&self, path: &[String]) -> Result<Option<&str>, String> {
        match path.first().map(String::as_str) {
            None | Some("*") => Err("takes in the whole crate root".to_owned()),
            Some(first) => match self.owners.get(first) {
                Some(owner) => Ok(owner.as_deref()),
                None => Err(format!("`{first}` is not found in lib.rs")),
            },
        }
    }
}
