//! The page for people, as Chromium shows it.

use std::path::Path;

use axum::Router;
use serde_json::json;
use tower_storage_guard::{FailurePolicy, Reading};

use crate::{
    browser::Browser,
    support::{GIB, Server, Site},
};

const SIZES: [(&str, u32, u32, bool); 3] = [
    ("phone", 360, 740, true),
    ("tablet", 800, 1100, true),
    ("desktop", 1280, 800, false),
];

fn serve(site: &Site, shows_tenants: bool) -> Server {
    let status = site.status().show_tenants(shows_tenants);
    Server::start(Router::new().route_service("/capacity", status))
}

#[test]
fn fits_three_sizes_in_light_and_dark() {
    let Some(mut browser) = Browser::start() else { return };
    let site = Site::new();
    site.live_through_an_afternoon();
    let _held = site.upload(2 * GIB);
    let server = serve(&site, true);
    // Where someone wants to look at the pictures.
    let pictures = std::env::var_os("PICTURES");
    for (size, width, height, is_phone) in SIZES {
        browser.resize(width, height, is_phone);
        for scheme in ["light", "dark"] {
            browser.prefer(scheme);
            browser.open(&format!("http://{}/capacity", server.address));
            let at = format!("{size}, {scheme}");
            assert_eq!(browser.complaints(), [""; 0], "{at}");
            let fits = "document.documentElement.scrollWidth <= innerWidth";
            assert_eq!(browser.eval(fits), json!(true), "{at}: wider than the screen");
            let cut_off = "[...document.querySelectorAll('dd, td, th, h1, h2, p, dt')]\
                .filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display != 'inline')\
                .map(e => e.outerHTML)";
            assert_eq!(browser.eval(cut_off), json!([]), "{at}: does not fit its place");
            let small = "[...document.querySelectorAll('main *')]\
                .filter(e => e.innerText && parseFloat(getComputedStyle(e).fontSize) < 12).length";
            assert_eq!(browser.eval(small), json!(0), "{at}: letters too small to read");
            let contrast = browser.eval(CONTRAST);
            assert!(contrast.as_f64().expect("a number") >= 4.5, "{at}: contrast {contrast}");
            let is_dark = browser.eval("getComputedStyle(document.body).backgroundColor") == json!("rgb(20, 23, 27)");
            assert_eq!(is_dark, scheme == "dark", "{at}");
            if let Some(folder) = &pictures {
                browser.screenshot(&Path::new(folder).join(format!("{size}-{scheme}.png")));
            }
        }
    }
}

/// The least contrast of any text with what is behind it (WCAG 2.2, 1.4.3).
const CONTRAST: &str = "(() => {
    const channel = value => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const luminance = colour => {
        const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(channel);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = element => {
        const colour = getComputedStyle(element).backgroundColor;
        return colour === 'rgba(0, 0, 0, 0)' ? behind(element.parentElement) : colour;
    };
    const texts = [...document.querySelectorAll('main *')].filter(element =>
        [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()) && element.offsetParent);
    return Math.min(...texts.map(element => {
        const [a, b] = [getComputedStyle(element).color, behind(element)].map(luminance).sort((x, y) => y - x);
        return (a + 0.05) / (b + 0.05);
    }));
})()";

#[test]
fn every_state_is_told_in_words() {
    let Some(mut browser) = Browser::start() else { return };
    let site = Site::new();
    let server = serve(&site, false);
    let url = format!("http://{}/capacity", server.address);
    browser.resize(360, 740, true);
    let live = site.layer.live_settings();
    let free = |bytes| Reading::new(100 * GIB, bytes);
    for (name, reading, report_only, parts) in [
        (
            "near",
            Some(free(8 * GIB)),
            false,
            &["Nearly full", "time to make room", "nearly full"][..],
        ),
        (
            "full",
            Some(free(4 * GIB)),
            false,
            &["Full", "Nothing is accepted", "1.0 GiB short"],
        ),
        (
            "reporting",
            Some(free(4 * GIB)),
            true,
            &["Full", "only reporting", "report-only", "Nothing is refused"],
        ),
        (
            "read-only",
            Some(free(90 * GIB).with_writable(false)),
            false,
            &["Closed", "read-only", "0 B of 85.0 GiB"],
        ),
        (
            "no-inodes",
            Some(free(90 * GIB).with_inodes(10, 0)),
            false,
            &["Closed", "closed", "0 files"],
        ),
        (
            "unbounded",
            Some(Reading::unbounded(90 * GIB)),
            false,
            &["must stay free", "85.0 GiB"],
        ),
        ("nothing", Some(Reading::new(0, 0)), false, &["Full", "0 B"]),
        (
            "unmeasured",
            None,
            false,
            &[
                "Closed",
                "not measured",
                "a cable <came> loose",
                "one measurement failed",
            ],
        ),
    ] {
        match reading {
            Some(reading) => site.disk.probe().set(reading),
            None => site.disk.probe().fail("a cable <came> loose"),
        }
        // Twice: a state is left after two better readings.
        site.disk.sample();
        if reading.is_some() {
            site.disk.sample();
        }
        live.update(|settings| {
            settings.layer = settings.layer.report_only(report_only);
            let disk = settings.resource_mut("disk").expect("there");
            *disk = disk.on_probe_failure(FailurePolicy::Closed);
        })
        .expect("valid");
        for scheme in ["light", "dark"] {
            browser.prefer(scheme);
            browser.open(&url);
            let text = browser.text("main");
            for part in parts {
                assert!(text.contains(part), "{name}: `{part}`: {text}");
            }
            let contrast = browser.eval(CONTRAST);
            assert!(
                contrast.as_f64().expect("a number") >= 4.5,
                "{name}, {scheme}: contrast {contrast}"
            );
            if let Some(folder) = std::env::var_os("PICTURES") {
                browser.screenshot(&Path::new(&folder).join(format!("state-{name}-{scheme}.png")));
            }
        }
        assert_eq!(browser.complaints(), [""; 0], "{name}");
    }
}

#[test]
fn shows_what_there_is_and_updates_itself() {
    let Some(mut browser) = Browser::start() else { return };
    let site = Site::new();
    let server = serve(&site, true);
    browser.open(&format!("http://{}/capacity", server.address));
    assert_eq!(browser.text("h1"), "Ready");
    assert!(browser.text("main").contains("No refusals so far."));
    let (status, _) = site.upload(21 * GIB);
    assert_eq!(status, 413);
    let (status, _held) = site.upload(30 * GIB);
    assert_eq!(status, 413, "above the largest body");
    let (status, _held) = site.upload(20 * GIB - 4096);
    assert_eq!(status, 100, "received now");
    site.disk.probe().set_available(4 * GIB);
    site.disk.sample();
    site.monitor.tick();
    browser.eventually("document.querySelector('h1').innerText === 'Full'");
    let text = browser.text("main");
    for part in [
        "Nothing is accepted",
        "larger than allowed",
        "20.1 GiB",
        "short",
        "5 201 118",
    ] {
        assert!(text.replace('\u{202f}', " ").contains(part), "{part}: {text}");
    }
    assert_eq!(browser.eval("document.title"), json!("Full · storage"));
    let held = "document.querySelector('.bar .held').getBoundingClientRect().width > 50";
    assert_eq!(browser.eval(held), json!(true));
    assert_eq!(browser.complaints(), [""; 0]);

    drop(server);
    browser.eventually("document.querySelector('main').classList.contains('stale')");
    assert!(browser.text("header").contains("no answer since"));
}

#[test]
fn works_without_scripts() {
    let Some(mut browser) = Browser::start() else { return };
    let site = Site::new();
    let server = serve(&site, true);
    browser.switch_scripts(false);
    browser.open(&format!("http://{}/capacity", server.address));
    assert_eq!(browser.text("h1"), "Ready");
    assert_eq!(browser.complaints(), [""; 0]);
    site.disk.probe().set_available(0);
    site.disk.sample();
    // It loads itself again.
    browser.eventually("document.querySelector('h1')?.innerText === 'Full'");
}

/// The policy allows what is inline by its digest, and nothing else.
#[test]
fn the_policy_knows_what_is_inline() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use sha2::{Digest, Sha256};

    let page = serve(&Site::new(), true);
    let answer = page.get("/capacity", "text/html");
    let policy = answer
        .lines()
        .find_map(|line| line.strip_prefix("content-security-policy: "))
        .expect("a policy");
    assert!(
        policy.starts_with("default-src 'none';") && !policy.contains("unsafe"),
        "{policy}"
    );
    for (tag, directive) in [("style", "style-src"), ("script", "script-src")] {
        let (_, rest) = answer.split_once(&format!("<{tag}>")).expect(tag);
        let (text, _) = rest.split_once(&format!("</{tag}>")).expect(tag);
        let digest = STANDARD.encode(Sha256::digest(text));
        let part = format!("{directive} 'sha256-{digest}'");
        assert!(
            policy.contains(&part),
            "{tag} has changed: write `{part}` into the policy"
        );
    }
    for elsewhere in ["src=\"http", "href=\"http", "url(", "@import"] {
        assert!(!answer.contains(elsewhere), "{elsewhere}: everything is in the page");
    }
}

#[test]
fn tenants_are_opt_in() {
    let site = Site::new();
    // Also beside a page that shows them.
    for (shows, expected) in [(false, false), (true, true), (false, false)] {
        let server = serve(&site, shows);
        for accept in ["text/html", "application/json", "text/plain"] {
            let answer = server.get("/capacity", accept);
            let is_shown = answer.contains("orchard");
            assert_eq!(is_shown, expected && accept != "text/plain", "{accept}: {answer}");
            assert!(answer.contains("284"), "how many there are is told: {answer}");
        }
        let page = server.get("/capacity", "text/html");
        assert_eq!(page.contains("night &amp; day &lt;studio&gt;"), expected, "{page}");
        assert!(!page.contains("<studio>"));
    }
}
