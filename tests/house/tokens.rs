//! Rust's tokens, as far as paths need them.

pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: usize,
}

pub(crate) fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c == '_' || c.is_alphanumeric())
}

/// Words, `::` and single marks: no comments, literals or lifetimes.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let word = |text: &str| {
        text.find(|c: char| c != '_' && !c.is_alphanumeric())
            .unwrap_or(text.len())
    };
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let (length, keep) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), false)
        } else if rest.starts_with("/*") {
            (block_comment(rest), false)
        } else if let Some(length) = literal(rest) {
            (length, false)
        } else if let Some(lifetime) = rest.strip_prefix('\'') {
            (1 + word(lifetime), false)
        } else if is_word(rest) {
            (word(rest), true)
        } else if rest.starts_with("::") {
            (2, true)
        } else {
            (first.len_utf8(), !first.is_whitespace())
        };
        let (text, after) = rest.split_at(length);
        if keep {
            tokens.push(Token { text, line });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    tokens
}

fn block_comment(text: &str) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        let rest = text.get(at..).unwrap_or_default();
        match rest.find("*/") {
            None => return text.len(),
            Some(end) => match rest.find("/*") {
                Some(start) if start < end => (at, depth) = (at + start + 2, depth + 1),
                _ if depth == 1 => return at + end + 2,
                _ => (at, depth) = (at + end + 2, depth - 1),
            },
        }
    }
}

/// The length of the string, byte or character literal that begins here.
fn literal(text: &str) -> Option<usize> {
    let (prefix, rest) = ["br", "cr", "b", "c", "r", ""]
        .into_iter()
        .filter_map(|prefix| Some((prefix, text.strip_prefix(prefix)?)))
        .find(|(prefix, rest)| match prefix.ends_with('r') {
            true => rest.trim_start_matches('#').starts_with('"'),
            false => rest.starts_with('"') || (rest.starts_with('\'') && *prefix != "c" && is_character(rest)),
        })?;
    let length = match prefix.ends_with('r') {
        true => {
            let hashes = rest.find('"')?;
            let close = format!("\"{}", "#".repeat(hashes));
            let body = hashes + 1;
            body + rest.get(body..)?.find(&close)? + close.len()
        }
        false => {
            let quote = rest.chars().next()?;
            let mut escaped = false;
            let close = rest.char_indices().skip(1).find(|&(_, c)| {
                let ends = c == quote && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            })?;
            close.0 + 1
        }
    };
    Some(prefix.len() + length)
}

/// Tells `'a'` and `'\n'` from the lifetime `'a`.
fn is_character(text: &str) -> bool {
    let mut after = text.chars().skip(1);
    after
        .next()
        .is_some_and(|first| first == '\\' || after.next() == Some('\''))
}
