//! Figures on their way from one program to the next: lines of case, subject, what was measured, and the value.

use std::{fmt::Write, fs, io, path::PathBuf};

#[derive(Clone, Debug)]
pub struct Figure {
    pub case: String,
    pub subject: String,
    pub what: String,
    pub value: f64,
}

#[derive(Clone, Debug, Default)]
pub struct Figures(pub Vec<Figure>);

impl Figures {
    pub fn put(&mut self, case: &str, subject: &str, what: &str, value: f64) {
        self.0.push(Figure {
            case: case.to_owned(),
            subject: subject.to_owned(),
            what: what.to_owned(),
            value,
        });
    }

    pub fn get(&self, case: &str, subject: &str, what: &str) -> Option<f64> {
        let found = |figure: &&Figure| figure.case == case && figure.subject == subject && figure.what == what;
        self.0.iter().find(found).map(|figure| figure.value)
    }

    pub fn parse(text: &str) -> Self {
        let figures = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let mut fields = line.split('\t').map(str::to_owned);
            Some(Figure {
                case: fields.next()?,
                subject: fields.next()?,
                what: fields.next()?,
                value: fields.next()?.parse().ok()?,
            })
        });
        Self(figures.collect())
    }

    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for figure in &self.0 {
            let _ = writeln!(
                text,
                "{}\t{}\t{}\t{}",
                figure.case,
                figure.subject,
                figure.what,
                round(figure.value)
            );
        }
        text
    }

    /// Puts them where the page is drawn from.
    pub fn save(&self, name: &str) -> io::Result<()> {
        let folder = folder();
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name).with_extension("tsv"), self.to_text())
    }

    pub fn load(name: &str) -> Self {
        let path = folder().join(name).with_extension("tsv");
        Self::parse(&fs::read_to_string(path).unwrap_or_default())
    }
}

/// Two decimals are more than is known.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Where the figures of the last run are.
pub fn folder() -> PathBuf {
    match std::env::var_os("PEERS_RESULTS") {
        Some(folder) => folder.into(),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/results"),
    }
}

/// The middle one, and what a quarter of them is below and above.
pub fn quartiles(values: &mut [f64]) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}
