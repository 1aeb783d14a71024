//! The command line.

use std::{path::PathBuf, str::FromStr, time::Duration};

pub(crate) const HELP: &str = "\
An hour's worth of mixed traffic in two minutes, against a guarded server on a small disk.

Usage: soak [OPTIONS]

  --seconds N      how long it lasts [default: 120]
  --rate N         requests a second [default: 300; so two minutes are 36,000 requests, what a service with ten
                   requests a second sees in an hour, and those when all come at once. A machine that is slower
                   sends as many as it can]
  --clients N      clients at once [default: 48]
  --volume KIND    tmpfs or ext4, of 48 MiB, mounted for the run; needs root [default: tmpfs]
  --dir DIR        a directory instead. The disk is not filled from outside then, since it is not ours alone
  --seed N         repeats a run's choices, though not its timing [default: the time]
  --json           the report as JSON
  --break LIST     breaks something on purpose, to see that the report tells of it; some of
                   hold,task,descriptor,memory,content,answer
  --help           this text

Exit code: 0 when all that is promised held, 1 when something did not, 2 when it could not run.
";

pub(crate) enum Command {
    Run(Options),
    Help,
}

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) time: Duration,
    pub(crate) rate: u64,
    pub(crate) clients: u64,
    pub(crate) place: Place,
    pub(crate) seed: u64,
    pub(crate) json: bool,
    pub(crate) broken: Vec<Broken>,
}

/// Where files are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Tmpfs,
    Ext4,
    Dir(PathBuf),
}

/// What goes wrong on purpose, once in a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// A request's body is never let go, and so what it holds.
    Hold,
    Task,
    Descriptor,
    Memory,
    /// A file is not what was sent.
    Content,
    /// A request gets no answer.
    Answer,
}

impl Options {
    pub(crate) fn parse(args: impl Iterator<Item = String>, seed: u64) -> Result<Command, String> {
        let mut options = Self {
            time: Duration::from_secs(120),
            rate: 300,
            clients: 48,
            place: Place::Tmpfs,
            seed,
            json: false,
            broken: Vec::new(),
        };
        let mut args = args.peekable();
        while let Some(arg) = args.next() {
            let (name, inline) = match arg.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (arg, None),
            };
            let mut value = || {
                let value = inline.clone().or_else(|| args.next_if(|next| !next.starts_with("--")));
                value.ok_or_else(|| format!("{name} needs a value; --help tells which"))
            };
            match &*name {
                "--seconds" => options.time = Duration::from_secs(number(&name, &value()?, 5, 86_400)?),
                "--rate" => options.rate = number(&name, &value()?, 1, 100_000)?,
                "--clients" => options.clients = number(&name, &value()?, 1, 1000)?,
                "--seed" => options.seed = number(&name, &value()?, 0, u64::MAX)?,
                "--volume" => {
                    options.place = match &*value()? {
                        "tmpfs" => Place::Tmpfs,
                        "ext4" => Place::Ext4,
                        other => return Err(format!("--volume: `{other}` is none; give tmpfs or ext4")),
                    }
                }
                "--dir" => options.place = Place::Dir(value()?.into()),
                "--break" => options.broken = value()?.split(',').map(str::parse).collect::<Result<_, _>>()?,
                "--json" => options.json = true,
                "--help" | "-h" => return Ok(Command::Help),
                _ => return Err(format!("`{name}` is not an option; --help lists them")),
            }
        }
        Ok(Command::Run(options))
    }
}

fn number(name: &str, value: &str, least: u64, most: u64) -> Result<u64, String> {
    let number = value.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("{name}: `{value}` is no number from {least} to {most}"))
}

impl FromStr for Broken {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "hold" => Self::Hold,
            "task" => Self::Task,
            "descriptor" => Self::Descriptor,
            "memory" => Self::Memory,
            "content" => Self::Content,
            "answer" => Self::Answer,
            other => return Err(format!("--break: `{other}` cannot be broken; --help lists what can")),
        })
    }
}
