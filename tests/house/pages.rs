//! The documentation: what is Rust on a page is compiled with the tests, and every link leads somewhere.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Component, Path, PathBuf},
};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use crate::sources_under;

#[test]
fn every_page_is_compiled_and_every_link_leads_somewhere() {
    let pages = Pages::read();
    assert!(
        pages.0.len() > 5,
        "only {} pages were seen: this test has gone blind",
        pages.0.len()
    );
    let links: usize = pages.0.values().map(|page| page.links.len()).sum();
    assert!(links > 30, "only {links} links were seen: this test has gone blind");

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lib = fs::read_to_string(root.join("src/lib.rs")).unwrap();
    let mut complaints = pages.complaints(&lib, &|path| {
        let path = root.join(path);
        path.exists().then(|| fs::read_to_string(path).unwrap_or_default())
    });
    complaints.extend(pages.unmentioned());
    assert_eq!(complaints, [""; 0]);
}

#[test]
fn no_example_in_the_sources_is_left_out() {
    let ignored: Vec<_> = sources_under("src")
        .iter()
        .flat_map(|source| {
            let fences = source.text.lines().filter(|line| {
                let line = line.trim_start();
                let comment = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
                comment.is_some_and(|text| text.trim_start().starts_with("```") && text.contains("ignore"))
            });
            fences.map(|fence| format!("{}: {}", source.path, fence.trim()))
        })
        .collect();
    assert_eq!(ignored, [""; 0]);
}

#[test]
fn what_is_wrong_with_a_page_is_told() {
    let lib = "#[cfg(doctest)]\n#[doc = include_str!(\"../docs/a.md\")]\nstruct A;";
    let complaints = |path: &str, text: &str| {
        let good = (
            "docs/a.md",
            "# A page\n\n## Two words, `code`\n\n## Two words, `code`\n",
        );
        let pages = Pages::of([good, (path, text)]);
        pages.complaints(lib, &|file| (file == Path::new("docs/a.png")).then(String::new))
    };
    assert_eq!(
        complaints("docs/a.md", "![](a.png) [x](https://example.org/#y)"),
        [""; 0]
    );
    assert_eq!(complaints("README.md", "[x](docs/a.md#two-words-code-1)"), [""; 0]);

    let dead = ["README.md: nothing is at `docs/b.md`"];
    assert_eq!(complaints("README.md", "[x]\n\n[x]: docs/b.md"), dead);
    let dead = ["README.md: docs/a.md has no heading `three-words`"];
    assert_eq!(complaints("README.md", "[x](docs/a.md#three-words)"), dead);
    let dead = ["README.md: README.md has no heading `here`"];
    assert_eq!(complaints("README.md", "# There\n\n[x](#here)"), dead);
    assert_eq!(complaints("README.md", "`[x](docs/b.md)`"), [""; 0], "code is no link");

    let ignored = ["README.md: a block of code is `rust,ignore`"];
    assert_eq!(complaints("README.md", "```rust,ignore\nfn main() {}\n```"), ignored);
    let nameless = ["README.md: a block of code does not say its language"];
    assert_eq!(complaints("README.md", "```\nfn main() {}\n```"), nameless);

    let gone = ["README.md: `src/a.rs` is not there"];
    assert_eq!(complaints("README.md", "`src/a.rs`"), gone);
    let gone = ["README.md: `docs/a.md::b` is not there"];
    assert_eq!(complaints("README.md", "`docs/a.md::b`"), gone);

    let uncompiled = ["docs/b.md: src/lib.rs does not include it with the tests"];
    assert_eq!(complaints("docs/b.md", ""), uncompiled);
}

/// By their paths below the root of the project.
struct Pages(BTreeMap<PathBuf, Page>);

#[derive(Default)]
struct Page {
    links: Vec<String>,
    /// What is written as code between words.
    words: Vec<String>,
    /// What stands behind the three backticks of each block of code; nothing for an indented one.
    blocks: Vec<String>,
    anchors: Vec<String>,
}

impl Pages {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut paths = vec![PathBuf::from("README.md"), PathBuf::from("CHANGELOG.md")];
        for entry in fs::read_dir(root.join("docs")).unwrap() {
            let name = entry.unwrap().file_name();
            if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
                paths.push(Path::new("docs").join(name));
            }
        }
        let pages = paths.into_iter().map(|path| {
            let text = fs::read_to_string(root.join(&path)).unwrap();
            (path, Page::read(&text))
        });
        Self(pages.collect())
    }

    fn of<'a>(pages: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let pages = pages.into_iter();
        Self(
            pages
                .map(|(path, text)| (PathBuf::from(path), Page::read(text)))
                .collect(),
        )
    }

    /// `read` tells what is in a file, if there is one.
    fn complaints(&self, lib: &str, read: &Read<'_>) -> Vec<String> {
        let mut complaints = Vec::new();
        for (path, page) in &self.0 {
            let mut complain = |what: String| complaints.push(format!("{}: {what}", path.display()));
            for block in &page.blocks {
                if block.is_empty() {
                    complain("a block of code does not say its language".to_owned());
                } else if block.split([',', ' ']).any(|word| word.starts_with("ignore")) {
                    complain(format!("a block of code is `{block}`"));
                }
            }
            if path.starts_with("docs") && !includes(lib, path) {
                complain("src/lib.rs does not include it with the tests".to_owned());
            }
            let links = page.links.iter().filter_map(|link| self.flaw(path, link, read));
            links.for_each(&mut complain);
            let gone = page.words.iter().filter(|word| !is_there(word, read));
            gone.for_each(|word| complain(format!("`{word}` is not there")));
        }
        complaints
    }

    /// What is wrong with a link from this page.
    fn flaw(&self, from: &Path, link: &str, read: &Read<'_>) -> Option<String> {
        if link.contains("://") || link.starts_with("mailto:") {
            return None;
        }
        let (file, anchor) = match link.split_once('#') {
            Some((file, anchor)) => (file, Some(anchor)),
            None => (link, None),
        };
        let target = match file {
            "" => from.to_owned(),
            file => resolved(from, file),
        };
        let Some(page) = self.0.get(&target) else {
            return read(&target)
                .is_none()
                .then(|| format!("nothing is at `{}`", target.display()));
        };
        let anchor = anchor.filter(|anchor| !page.anchors.iter().any(|found| found == anchor))?;
        Some(format!("{} has no heading `{anchor}`", target.display()))
    }

    /// Pages that the README does not lead to.
    fn unmentioned(&self) -> Vec<String> {
        let readme = self.0.get(Path::new("README.md"));
        let links = readme.iter().flat_map(|readme| &readme.links);
        let mentioned: Vec<_> = links.map(PathBuf::from).collect();
        let pages = self
            .0
            .keys()
            .filter(|path| path.starts_with("docs") && !mentioned.contains(path));
        pages
            .map(|path| format!("README.md has no link to {}", path.display()))
            .collect()
    }
}

impl Page {
    fn read(text: &str) -> Self {
        let mut page = Self::default();
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut heading: Option<String> = None;
        for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => page.blocks.push(info.into_string()),
                Event::Start(Tag::CodeBlock(CodeBlockKind::Indented)) => page.blocks.push(String::new()),
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Text(ref words) | Event::Code(ref words) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(words);
                    }
                    if let Event::Code(words) = event {
                        page.words.push(words.into_string());
                    }
                }
                Event::End(TagEnd::Heading(_)) => {
                    let anchor = anchor(&heading.take().unwrap_or_default());
                    let before = seen.entry(anchor.clone()).or_default();
                    page.anchors.push(match *before {
                        0 => anchor,
                        more => format!("{anchor}-{more}"),
                    });
                    *before += 1;
                }
                _ => {}
            }
        }
        page
    }
}

type Read<'a> = dyn Fn(&Path) -> Option<String> + 'a;

/// Whether the file is there that a word like `src/lib.rs` names, and in it the function of `src/lib.rs::name`.
fn is_there(word: &str, read: &Read<'_>) -> bool {
    let folders = ["benches/", "docs/", "examples/", "src/", "tests/"];
    let is_path = word.chars().all(|c| c.is_alphanumeric() || "/._-:".contains(c));
    if !is_path || !folders.iter().any(|folder| word.starts_with(folder)) {
        return true;
    }
    let (file, name) = match word.split_once("::") {
        Some((file, name)) => (file, Some(name)),
        None => (word, None),
    };
    read(Path::new(file)).is_some_and(|text| name.is_none_or(|name| text.contains(&format!("fn {name}("))))
}

/// What a heading is called in an address, as GitHub has it.
fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.flat_map(char::to_lowercase)
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// Where a link from this page leads, from the root of the project on.
fn resolved(from: &Path, link: &str) -> PathBuf {
    let mut resolved = from.parent().unwrap_or(Path::new("")).to_owned();
    for component in Path::new(link).components() {
        match component {
            Component::ParentDir => drop(resolved.pop()),
            Component::CurDir => {}
            component => resolved.push(component),
        }
    }
    resolved
}

/// Whether it is a line of its own, for the tests alone.
fn includes(lib: &str, page: &Path) -> bool {
    let include = format!("#[doc = include_str!(\"../{}\")]", page.display());
    let lines: Vec<_> = lib.lines().map(str::trim).collect();
    lines.windows(2).any(|pair| pair == ["#[cfg(doctest)]", &include])
}
