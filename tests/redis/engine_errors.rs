//! What engines answer when they will not do what they are asked, by a stand-in that always says the same.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use tower_storage_guard::StoreErrorKind::{self, Corrupt, Rejected, Unavailable};

use crate::node::{Node, patient};

/// A listener that answers everything with this, on one connection after the other, until one sends nothing.
fn answering(line: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut buffer = [0; 4096];
            while let Ok(1..) = stream.read(&mut buffer) {
                if stream.write_all(line.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    url
}

#[test]
fn each_has_its_kind_and_its_words() {
    let cases: [(&str, StoreErrorKind, &str); 18] = [
        (
            "-LOADING Redis is loading the dataset in memory",
            Unavailable,
            "loading",
        ),
        (
            "-MASTERDOWN Link with MASTER is down",
            Unavailable,
            "without its primary",
        ),
        (
            "-READONLY You can't write against a read only replica.",
            Unavailable,
            "is a replica",
        ),
        ("-BUSY Redis is busy running a script.", Unavailable, "busy"),
        (
            "-OOM command not allowed when used memory > 'maxmemory'.",
            Unavailable,
            "no memory",
        ),
        ("-MISCONF Errors writing to the AOF file", Unavailable, "cannot save"),
        (
            "-NOREPLICAS Not enough good replicas to write.",
            Unavailable,
            "too few replicas",
        ),
        ("-CLUSTERDOWN Hash slot not served", Unavailable, "not complete"),
        (
            "-TRYAGAIN Multiple keys request during rehashing of slot",
            Unavailable,
            "not complete",
        ),
        ("-ERR max number of clients reached", Unavailable, "as many clients"),
        ("-NOAUTH Authentication required.", Rejected, "wants a password"),
        ("-DENIED Redis is running in protected mode", Rejected, "protected mode"),
        ("-MOVED 3999 127.0.0.1:6381", Rejected, "Redis Cluster"),
        ("-ERR something new", Rejected, "refuses"),
        ("-WRONGTYPE Operation against a key", Corrupt, "something else"),
        ("+QUEUED", Rejected, "not understood"),
        ("HTTP/1.1 400 Bad Request", Rejected, "not understood"),
        ("", Unavailable, "in time"),
    ];
    for (line, kind, words) in cases {
        let url = answering(Box::leak(format!("{line}\r\n").into_boxed_str()));
        let mut node = Node::new("a", &url);
        let store = match line {
            "" => crate::node::impatient(&answering("")),
            _ => patient(&url),
        };
        node.store = store.trust_eviction_policy().build().unwrap();
        let error = node.sync().unwrap_err();
        assert_eq!(error.kind(), kind, "{line}: {error}");
        assert!(error.to_string().contains(words), "{line}: {error}");
        let error = node.store.record("acme").unwrap_err();
        assert_eq!(error.kind(), kind, "{line}: {error}");
    }
}

/// What a script is called by.
const SCRIPT: &str = "$4\r\nname\r\n";

/// A listener that answers each command by its name, or with `OK`.
fn answering_by_name(answer: impl Fn(&str) -> Option<&'static str> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut writer = stream.try_clone().unwrap();
            let mut reader = BufReader::new(stream);
            while let Some(name) = command(&mut reader) {
                let line = answer(&name).unwrap_or("+OK\r\n");
                if writer.write_all(line.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    url
}

/// Reads one command, and tells its first word: `*2`, `$4`, `ECHO`, `$2`, `hi`.
fn command(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let number = |reader: &mut BufReader<TcpStream>, sign| -> Option<usize> {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        line.strip_prefix(sign)?.trim().parse().ok()
    };
    let mut first = None;
    for _ in 0..number(reader, '*')? {
        let length = number(reader, '$')?;
        let mut word = vec![0; length + 2];
        reader.read_exact(&mut word).ok()?;
        word.truncate(length);
        first.get_or_insert(String::from_utf8_lossy(&word).to_ascii_uppercase());
    }
    first
}

#[test]
fn one_that_forgets_scripts_is_told_twice_more_and_then_left_alone() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let url = answering_by_name(move |name| match name {
        "EVALSHA" => {
            counted.fetch_add(1, SeqCst);
            Some("-NOSCRIPT No matching script.\r\n")
        }
        "SCRIPT" => Some(SCRIPT),
        _ => None,
    });
    let mut node = Node::new("a", &url);
    node.store = patient(&url).trust_eviction_policy().build().unwrap();
    let error = node.sync().unwrap_err();
    assert_eq!(error.kind(), Unavailable, "{error}");
    assert!(error.to_string().contains("forgets scripts"), "{error}");
    assert_eq!(calls.load(SeqCst), 3);
}

/// What is only so for a moment is not taken for an engine that keeps its settings to itself.
#[test]
fn one_that_cannot_tell_its_settings_now_is_out_of_order() {
    const LOADING: &str = "-LOADING Redis is loading the dataset in memory\r\n";
    const NOTHING: &str = "$0\r\n\r\n";
    const KEEPS_ALL: &str = "*2\r\n$16\r\nmaxmemory-policy\r\n$10\r\nnoeviction\r\n";
    for (info, config, kind) in [
        (LOADING, KEEPS_ALL, Some(Unavailable)),
        (NOTHING, LOADING, Some(Unavailable)),
        (NOTHING, NOTHING, Some(Rejected)),
        (NOTHING, KEEPS_ALL, None),
    ] {
        let url = answering_by_name(move |name| match name {
            "INFO" => Some(info),
            "CONFIG" => Some(config),
            "SCRIPT" => Some(SCRIPT),
            _ => None,
        });
        let outcome = patient(&url).build().unwrap().connect();
        assert_eq!(outcome.err().map(|error| error.kind()), kind, "{info} {config}");
    }
}
