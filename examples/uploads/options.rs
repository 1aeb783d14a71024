//! The command line.

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use axum::http::HeaderName;
use tower_storage_guard::{BuildError, Floor, Limit, parse_size};

use crate::ledger;

pub(crate) const HELP: &str = "\
A file server that refuses what does not fit on its disk.

Usage: uploads [OPTIONS]

  --dir DIR              where the files are kept, made if missing [default: ./uploads]
  --listen ADDR          address and port; port 0 takes a free one [default: 127.0.0.1:3000]
  --min-free SIZE        what must stay free on the disk, such as 64MiB or 1.5GB
  --min-free-percent P   the same as a share of the disk; the larger of both counts
                         [default, if neither is given: 5 %, at most 10 GiB]
  --max-upload SIZE      the largest file to accept [default: what the disk can hold]
  --report-only          refuse nothing, only log what would be refused
  --config FILE          settings in TOML, read again on SIGHUP; they count before the options above
                         (with tenants also `tenant_limit`)
  --help                 this text

With tenants, each of whom has files of its own:

  --tenant-header NAME   the header that names the tenant, such as X-Tenant; whoever can set it is believed
  --tenant-limit SIZE    what each may store [default: unlimited]
  --tenant-limits FILE   limits in TOML, read again when they change; they count before --tenant-limit
  --ledger PLACE         where it is kept what they have stored [default: memory]
                           memory                what is stored is counted at the start
                           file:PATH             a file of this server
                           redis://HOST:PORT/    an engine that several servers share
  --node NAME            this server's name in Redis, the same after a restart [default: host and directory]
  --lease-chunk SIZE     how much of a limit to take from Redis at once [default: 64MiB]
  --show-tenants         show the fullest tenants at /capacity

A directory belongs to one server. RUST_LOG=debug logs more.
";

pub(crate) enum Command {
    Serve(Box<Options>),
    Help,
}

pub(crate) struct Options {
    pub(crate) dir: PathBuf,
    pub(crate) listen: String,
    pub(crate) floor: Floor,
    pub(crate) max_upload: u64,
    pub(crate) report_only: bool,
    pub(crate) config: Option<PathBuf>,
    pub(crate) tenants: Option<TenantOptions>,
}

pub(crate) struct TenantOptions {
    pub(crate) header: HeaderName,
    pub(crate) limit: Option<Limit>,
    pub(crate) limits_file: Option<PathBuf>,
    pub(crate) ledger: ledger::Place,
    pub(crate) node: Option<String>,
    pub(crate) lease_chunk: Option<u64>,
    pub(crate) show: bool,
}

impl Default for TenantOptions {
    fn default() -> Self {
        Self {
            header: HeaderName::from_static("x-tenant"),
            limit: None,
            limits_file: None,
            ledger: ledger::Place::Memory,
            node: None,
            lease_chunk: None,
            show: false,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dir: "./uploads".into(),
            listen: "127.0.0.1:3000".to_owned(),
            floor: Floor::default(),
            max_upload: u64::MAX,
            report_only: false,
            config: None,
            tenants: None,
        }
    }
}

impl Options {
    pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, OptionError> {
        let args = args.map(text).collect::<Result<Vec<_>, _>>()?;
        let mut args = args.iter().map(String::as_str).peekable();
        let mut options = Self::default();
        let (mut min_free, mut min_free_percent) = (None, None);
        let mut tenants = TenantOptions::default();
        let mut has_header = false;
        // The first option that makes no sense without tenants, and without Redis.
        let (mut of_tenants, mut of_redis) = (None, None);
        while let Some(arg) = args.next() {
            let (name, inline) = match arg.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (arg, None),
            };
            let mut value = |example| {
                // What looks like an option is not taken for a value; `--dir=--odd` says that it is one.
                let value = inline.or_else(|| args.next_if(|next| !next.starts_with("--")));
                value
                    .filter(|value| !value.is_empty())
                    .ok_or_else(|| OptionError::missing(name, example))
            };
            match name {
                "--dir" => options.dir = value("./uploads")?.into(),
                "--listen" => options.listen = value("127.0.0.1:3000")?.to_owned(),
                "--min-free" => min_free = Some(size(name, value("64MiB")?)?),
                "--min-free-percent" => min_free_percent = Some(percent(name, value("5")?)?),
                "--max-upload" => options.max_upload = size(name, value("1.5GB")?)?,
                "--config" => options.config = Some(value("guard.toml")?.into()),
                "--report-only" => options.report_only = flag(name, inline)?,
                "--tenant-header" => {
                    tenants.header = header(name, value("X-Tenant")?)?;
                    has_header = true;
                }
                "--tenant-limit" => tenants.limit = Some(limit(name, value("1GiB")?)?),
                "--tenant-limits" => tenants.limits_file = Some(value("limits.toml")?.into()),
                "--ledger" => tenants.ledger = ledger::Place::parse(name, value("redis://127.0.0.1:6379/")?)?,
                "--node" => tenants.node = Some(value("web-1")?.to_owned()),
                "--lease-chunk" => tenants.lease_chunk = Some(size(name, value("64MiB")?)?),
                "--show-tenants" => tenants.show = flag(name, inline)?,
                "--help" | "-h" => return Ok(Command::Help),
                _ => return Err(OptionError::unknown(arg)),
            }
            match name {
                "--tenant-limit" | "--tenant-limits" | "--ledger" | "--show-tenants" => {
                    of_tenants.get_or_insert(arg);
                }
                "--node" | "--lease-chunk" => {
                    of_tenants.get_or_insert(arg);
                    of_redis.get_or_insert(arg);
                }
                _ => {}
            }
        }
        if let Some(option) = of_tenants.filter(|_| !has_header) {
            return Err(OptionError::useless(
                option,
                "without tenants",
                "--tenant-header X-Tenant",
            ));
        }
        if let Some(option) = of_redis.filter(|_| !tenants.ledger.is_shared()) {
            return Err(OptionError::useless(
                option,
                "without Redis",
                "--ledger redis://127.0.0.1:6379/",
            ));
        }
        options.tenants = has_header.then_some(tenants);
        options.floor = floor(min_free, min_free_percent);
        Ok(Command::Serve(Box::new(options)))
    }
}

fn text(arg: OsString) -> Result<String, OptionError> {
    arg.into_string()
        .map_err(|arg| OptionError(format!("{arg:?} is not valid Unicode; write it in UTF-8")))
}

fn size(name: &str, value: &str) -> Result<u64, OptionError> {
    // The error names the value and shows how to write one.
    parse_size(value).map_err(|error| OptionError(format!("{name}: {error}")))
}

fn limit(name: &str, value: &str) -> Result<Limit, OptionError> {
    value
        .parse()
        .map_err(|error: tower_storage_guard::ParseSizeError| OptionError(format!("{name}: {error}")))
}

fn header(name: &str, value: &str) -> Result<HeaderName, OptionError> {
    value.parse().map_err(|_| {
        let remedy = "give letters, digits and `-`, such as X-Tenant";
        OptionError::bad(name, value, "cannot be the name of a header", remedy)
    })
}

fn percent(name: &str, value: &str) -> Result<f64, OptionError> {
    value
        .trim_end_matches('%')
        .parse()
        .ok()
        .filter(|percent| (0.0..=100.0).contains(percent))
        .ok_or_else(|| OptionError::bad(name, value, "is not a percentage", "give a number from 0 to 100"))
}

fn flag(name: &str, inline: Option<&str>) -> Result<bool, OptionError> {
    match inline {
        None => Ok(true),
        Some(value) => Err(OptionError::bad(
            name,
            value,
            "is a value, but the option takes none",
            "leave it out",
        )),
    }
}

fn floor(min_free: Option<u64>, min_free_percent: Option<f64>) -> Floor {
    match (min_free, min_free_percent) {
        (None, None) => Floor::default(),
        (bytes, percent) => Floor::percent(percent.unwrap_or(0.0)).at_least(bytes.unwrap_or(0)),
    }
}

/// Which option is at fault, its value, and what to do.
#[derive(Debug)]
pub(crate) struct OptionError(String);

impl OptionError {
    pub(crate) fn unusable_dir(dir: &Path, error: &dyn fmt::Display) -> Self {
        let flaw = format!("cannot be used: {error}");
        let remedy = "give a directory that exists or can be made, and that this user may write to";
        Self::bad("--dir", dir.display(), flaw, remedy)
    }

    pub(crate) fn unusable_address(address: &str, error: &dyn fmt::Display) -> Self {
        let flaw = format!("cannot be listened on: {error}");
        let remedy = "give an address of this machine and a free port, such as 127.0.0.1:3000; port 0 takes any";
        Self::bad("--listen", address, flaw, remedy)
    }

    /// The flaw names the file and the place in it.
    pub(crate) fn unusable_file(flaw: &str) -> Self {
        Self(format!("--config: {flaw}"))
    }

    /// The error has its own remedy.
    pub(crate) fn unusable_ledger(value: &str, error: &str) -> Self {
        Self(format!("--ledger: `{value}` cannot be used: {error}"))
    }

    /// The error names the file, the place in it and the remedy.
    pub(crate) fn unusable_limits(error: &BuildError) -> Self {
        Self(format!("--tenant-limits: {error}"))
    }

    /// A setting that the guard does not accept; the error has its own remedy.
    pub(crate) fn rejected(error: &BuildError) -> Self {
        Self(error.to_string())
    }

    fn useless(option: &str, flaw: &str, remedy: &str) -> Self {
        Self(format!("{option} means nothing {flaw}; add {remedy}"))
    }

    fn missing(name: &str, example: &str) -> Self {
        Self(format!("{name} needs a value, such as {name} {example}"))
    }

    fn unknown(arg: &str) -> Self {
        Self(format!("`{arg}` is not an option; --help lists them"))
    }

    pub(crate) fn bad(name: &str, value: impl fmt::Display, flaw: impl fmt::Display, remedy: &str) -> Self {
        Self(format!("{name}: `{value}` {flaw}; {remedy}"))
    }
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
