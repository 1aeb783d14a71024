//! Finds what a source file imports.

use crate::tokens::{Token, is_word, tokens};

/// A module's names from the crate root on.
pub(crate) type ModulePath = Vec<String>;

pub(crate) struct Finding {
    pub(crate) line: usize,
    pub(crate) module: ModulePath,
    pub(crate) what: What,
}

pub(crate) enum What {
    Imports(ModulePath),
    Forbidden(String),
}

#[derive(Default)]
pub(crate) struct Scan {
    pub(crate) findings: Vec<Finding>,
    /// Modules compiled for our own tests only.
    pub(crate) test_modules: Vec<ModulePath>,
}

/// One name taken in by a path or a `use`.
pub(crate) struct Leaf {
    pub(crate) line: usize,
    pub(crate) path: ModulePath,
    /// What it is called from here on.
    pub(crate) name: String,
}

pub(crate) struct Scanner<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
    module: ModulePath,
    /// For each open brace whether it began a module.
    braces: Vec<bool>,
    scan: Scan,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str, module: ModulePath) -> Self {
        Self {
            tokens: tokens(text),
            at: 0,
            module,
            braces: Vec::new(),
            scan: Scan::default(),
        }
    }

    pub(crate) fn run(mut self) -> Scan {
        while let Some(word) = self.peek() {
            match word {
                "#" if self.ahead(1) == "[" || (self.ahead(1) == "!" && self.ahead(2) == "[") => {
                    self.attribute();
                    continue;
                }
                "mod" if self.ahead(2) == "{" => {
                    self.module.push(self.ahead(1).to_owned());
                    self.braces.push(true);
                    self.at += 2;
                }
                "{" => self.braces.push(false),
                "}" if self.braces.pop() == Some(true) => drop(self.module.pop()),
                "crate" | "self" | "super" | "tower_storage_guard" if self.begins_path() => {
                    self.imports();
                    continue;
                }
                "unwrap" if [".", "::"].contains(&self.behind(1)) => self.forbid("`unwrap`"),
                "include" | "todo" | "unimplemented" if self.ahead(1) == "!" => self.forbid(&format!("`{word}!`")),
                _ => {}
            }
            self.at += 1;
        }
        self.scan
    }

    fn begins_path(&self) -> bool {
        let visibility = self.behind(1) == "in" && self.behind(2) == "(" && self.behind(3) == "pub";
        ["::", "as"].contains(&self.ahead(1)) && self.behind(1) != "::" && !visibility
    }

    fn imports(&mut self) {
        let mut leaves = Vec::new();
        self.tree(&[], &mut leaves);
        for leaf in leaves {
            let what = match resolve(&leaf.path, &self.module) {
                Some(path) => What::Imports(path),
                None => What::Forbidden("climbs above the crate root".to_owned()),
            };
            self.scan.findings.push(Finding {
                line: leaf.line,
                module: self.module.clone(),
                what,
            });
        }
    }

    /// A path, or the tree of a `use`: `a::{b, c::*, self as d}`.
    pub(crate) fn tree(&mut self, prefix: &[String], leaves: &mut Vec<Leaf>) {
        let line = self.line();
        let mut path = prefix.to_vec();
        while let Some(word) = self.peek() {
            if word == "{" {
                self.at += 1;
                while let Some(word) = self.peek() {
                    match word {
                        "}" => break,
                        _ if is_word(word) || word == "*" => self.tree(&path, leaves),
                        _ => self.at += 1,
                    }
                }
                self.at += 1;
                return;
            }
            if !is_word(word) && word != "*" {
                break;
            }
            path.push(word.to_owned());
            self.at += 1;
            if self.peek() != Some("::") {
                break;
            }
            self.at += 1;
        }
        let mut name = path.iter().rfind(|name| *name != "self").cloned().unwrap_or_default();
        if self.peek() == Some("as") {
            name = self.ahead(1).to_owned();
            self.at += 2;
        }
        leaves.push(Leaf { line, path, name });
    }

    fn attribute(&mut self) {
        let start = self.at;
        let mut depth = 0_usize;
        while let Some(word) = self.next() {
            match word {
                "[" => depth += 1,
                "]" if depth == 1 => break,
                "]" => depth -= 1,
                _ => {}
            }
        }
        let words: Vec<&str> = self
            .tokens
            .iter()
            .take(self.at)
            .skip(start)
            .map(|token| token.text)
            .collect();
        match words.as_slice() {
            ["#", "[", "path", ..] => self.forbid("`#[path]` hides a file from this test"),
            ["#", "!", "[", rest @ ..] if is_for_tests(rest) => self.scan.test_modules.push(self.module.clone()),
            ["#", "[", rest @ ..] if is_for_tests(rest) => self.test_item(),
            _ => {}
        }
    }

    /// Notes a module for tests, passes over anything else for tests.
    fn test_item(&mut self) {
        while self.peek() == Some("#") {
            self.attribute();
        }
        if self.peek() == Some("pub") {
            self.at += 1;
            if self.peek() == Some("(") {
                while self.next().is_some_and(|word| word != ")") {}
            }
        }
        if self.peek() == Some("mod") {
            let module = [self.module.as_slice(), &[self.ahead(1).to_owned()]].concat();
            self.scan.test_modules.push(module);
            return;
        }
        // A field, a variant or an arm ends at a comma; an item has commas of its own.
        let is_item = self.peek().is_some_and(begins_item);
        let mut depth = 0_usize;
        while let Some(word) = self.peek() {
            match word {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" if depth == 0 => return,
                ")" | "]" | "}" => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 && (["}", ";"].contains(&word) || (word == "," && !is_item)) {
                return;
            }
        }
    }

    fn forbid(&mut self, what: &str) {
        let (line, module) = (self.line(), self.module.clone());
        self.scan.findings.push(Finding {
            line,
            module,
            what: What::Forbidden(what.to_owned()),
        });
    }

    fn line(&self) -> usize {
        self.tokens
            .get(self.at)
            .or(self.tokens.last())
            .map_or(0, |token| token.line)
    }

    pub(crate) fn next(&mut self) -> Option<&'a str> {
        let word = self.peek();
        self.at += 1;
        word
    }

    pub(crate) fn peek(&self) -> Option<&'a str> {
        self.tokens.get(self.at).map(|token| token.text)
    }

    fn ahead(&self, by: usize) -> &'a str {
        self.tokens.get(self.at + by).map_or("", |token| token.text)
    }

    fn behind(&self, by: usize) -> &'a str {
        self.at
            .checked_sub(by)
            .and_then(|at| self.tokens.get(at))
            .map_or("", |token| token.text)
    }
}

#[rustfmt::skip]
fn begins_item(word: &str) -> bool {
    matches!(
        word,
        "async" | "const" | "enum" | "extern" | "fn" | "impl" | "let" | "macro_rules" | "static" | "struct" | "trait"
            | "type" | "union" | "unsafe" | "use"
    )
}

/// `cfg(test)`, or that and more; or the cfg of the models. The test kit's `cfg(any(test, …))` ships, so it counts as shipped.
fn is_for_tests(attribute: &[&str]) -> bool {
    match attribute {
        ["cfg", "(", "test" | "storage_guard_loom", ")", ..] => true,
        ["cfg", "(", "all", "(", rest @ ..] => {
            rest.contains(&"test") && !rest.iter().any(|word| ["any", "not"].contains(word))
        }
        _ => false,
    }
}

pub(crate) fn resolve(path: &[String], module: &[String]) -> Option<ModulePath> {
    let (first, rest) = path.split_first()?;
    let mut resolved = match first.as_str() {
        "self" => module.to_vec(),
        "super" => module.split_last()?.1.to_vec(),
        _ => Vec::new(),
    };
    for name in rest {
        match name.as_str() {
            "self" => {}
            "super" => drop(resolved.pop()?),
            _ => resolved.push(name.clone()),
        }
    }
    Some(resolved)
}

pub(crate) fn module_of(path: &str) -> ModulePath {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/')
        .filter(|name| *name != "lib")
        .map(str::to_owned)
        .collect()
}
