//! What a person sees in a browser.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{
    browser::Browser,
    site::{MIB, Site, eventually, names},
};

fn picture(browser: &mut Browser, name: &str) {
    // Where someone wants to look at the pictures.
    if let Some(folder) = std::env::var_os("PICTURES") {
        for (size, width, height, is_phone) in [
            ("phone", 360, 740, true),
            ("tablet", 800, 900, true),
            ("desktop", 1280, 800, false),
        ] {
            browser.resize(width, height, is_phone);
            for scheme in ["light", "dark"] {
                browser.prefer(scheme);
                browser.screenshot(&Path::new(&folder).join(format!("{name}-{size}-{scheme}.png")));
            }
        }
    }
    for width in [320, 800, 1280] {
        browser.resize(width, 800, width < 800);
        let fits = "document.documentElement.scrollWidth <= innerWidth";
        assert_eq!(browser.eval(fits), json!(true), "{name} at {width}");
    }
}

#[test]
fn files_can_be_picked_and_a_refusal_says_what_to_do() {
    let Some(mut browser) = Browser::start() else { return };
    let Some(site) = Site::on_small_disk(&["--max-upload", "40MiB"]) else {
        return;
    };
    browser.open(&format!("http://{}/", site.server.address));
    browser.eventually("!document.getElementById('nothing').hidden");

    let files: Vec<PathBuf> = [("plans.pdf", 2), ("film.mp4", 38), ("archive.tar", 41)]
        .into_iter()
        .map(|(name, size)| site.file(name, size * MIB))
        .collect();
    let pick = |browser: &mut Browser, file: &Path| browser.pick("#pick", &[file]);
    pick(&mut browser, &files[0]);
    browser.eventually("document.querySelectorAll('#uploads .stored').length === 1");
    pick(&mut browser, &files[1]);
    browser.eventually("document.querySelectorAll('#uploads .stored').length === 2");
    assert_eq!(names(&site.dir), ["film.mp4", "plans.pdf"]);
    browser.eventually("document.querySelectorAll('#stored li').length === 2");

    // Larger than any file may be.
    pick(&mut browser, &files[2]);
    browser.eventually("document.querySelectorAll('#uploads .refused').length === 1");
    let said = browser.text("#uploads .refused");
    for part in [
        "larger than this server accepts",
        "Trying again will not help",
        "Dismiss",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("Try again\n"), "that would not help: {said}");

    // Does not fit now.
    let song = site.file("songs.zip", 20 * MIB);
    pick(&mut browser, &song);
    browser.eventually("document.querySelectorAll('#uploads .refused').length === 2");
    let said = browser.text("#uploads li:first-child");
    for part in ["not enough room", "Delete files", "seconds", "Try again"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    picture(&mut browser, "uploads");
    assert_eq!(
        names(&site.dir),
        ["film.mp4", "plans.pdf"],
        "nothing is left of what was refused"
    );

    // What it advises helps.
    browser.eval("document.querySelector('[aria-label=\"Delete film.mp4\"]').click()");
    eventually("the file is gone", || names(&site.dir) == ["plans.pdf"]);
    let again = "(() => {
        const item = document.querySelector('#uploads li:first-child');
        if (item.className === 'refused') item.querySelector('button').click();
        return item.className === 'stored';
    })()";
    browser.eventually(again);
    assert_eq!(names(&site.dir), ["plans.pdf", "songs.zip"]);
    let complaints = browser.complaints();
    // The browser notes every answer that is an error.
    let others: Vec<_> = complaints
        .iter()
        .filter(|text| !text.contains("the server responded"))
        .collect();
    assert_eq!(others, [""; 0]);
}

#[test]
fn files_can_be_dropped_and_progress_is_shown() {
    let Some(mut browser) = Browser::start() else { return };
    let Some(site) = Site::anywhere(&[]) else { return };
    browser.open(&format!("http://{}/", site.server.address));
    browser.eval(
        "(() => {
            window.seen = [];
            new MutationObserver(() => {
                const bar = document.querySelector('progress');
                if (bar) seen.push(bar.value);
            }).observe(document.body, { subtree: true, childList: true, attributes: true });
            const files = new DataTransfer();
            files.items.add(new File(['x'.repeat(3 << 20)], 'ä b#?.txt'));
            const send = kind => document.getElementById('drop').dispatchEvent(
                new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: files }));
            send('dragover');
            window.marked = document.getElementById('drop').classList.contains('over');
            send('drop');
        })()",
    );
    assert_eq!(browser.eval("window.marked"), json!(true));
    browser.eventually("document.querySelectorAll('#uploads .stored').length === 1");
    assert_eq!(names(&site.dir), ["ä b#?.txt"]);
    let shown = "seen.length > 0 && seen.at(-1) === 1 && seen.every((value, n) => !n || value >= seen[n - 1])";
    assert_eq!(
        browser.eval(shown),
        json!(true),
        "{}",
        browser.eval("JSON.stringify(seen)")
    );
}

#[test]
fn the_state_of_the_disk_is_served_to_people_programs_and_checks() {
    let Some(mut browser) = Browser::start() else { return };
    let Some(site) = Site::on_small_disk(&["--report-only"]) else {
        return;
    };
    browser.open(&format!("http://{}/capacity", site.server.address));
    assert!(browser.text("main").contains("report-only"));
    assert_eq!(browser.complaints(), [""; 0]);

    let scrape = site.curl("/capacity").args(&["-H", "Accept: text/plain"]).send();
    assert!(
        scrape.text().contains("storage_guard_report_only{layer=\"files\"} 1"),
        "{}",
        scrape.text()
    );
    let json: serde_json::Value = serde_json::from_slice(&site.get("/capacity").body).expect("JSON");
    assert_eq!(json["resources"][0]["floor"], 4 * MIB);
    assert_eq!(site.get("/livez").text(), "alive\n");
    assert_eq!(site.get("/readyz").text(), "ready\n");
}

#[test]
fn a_person_who_enters_a_name_has_files_and_a_quota() {
    let Some(mut browser) = Browser::start() else { return };
    let options = ["--tenant-header=X-Tenant", "--tenant-limit=3MiB"];
    let Some(site) = Site::anywhere(&options) else { return };
    browser.open(&format!("http://{}/", site.server.address));
    let (large, small) = (site.file("large", 2 * MIB), site.file("small", 4));
    browser.pick("#pick", &[&large]);
    browser.eventually("document.querySelectorAll('#uploads .refused').length === 1");
    let said = browser.text("#uploads .refused");
    assert!(said.contains("Enter your name above"), "{said}");

    let enter = |browser: &mut Browser, name: &str| {
        browser.eval(&format!(
            "(() => {{
                const field = document.getElementById('tenant');
                field.value = '{name}';
                field.dispatchEvent(new Event('change'));
            }})()"
        ));
    };
    enter(&mut browser, "Jürgen");
    browser.eval("document.querySelector('#uploads .refused button').click()");
    browser.eventually("document.querySelectorAll('#uploads .stored').length === 1");
    assert_eq!(names(&site.dir), ["tenant-%4a%c3%bcrgen"]);
    assert_eq!(
        browser.eval("document.querySelectorAll('#uploads button').length"),
        json!(0)
    );
    browser.eventually("document.getElementById('quota').textContent === '2.0 MiB of 3.0 MiB stored, 1.0 MiB left'");
    let second = site.file("second", 2 * MIB);
    browser.pick("#pick", &[&second]);
    browser.eventually("document.querySelectorAll('#uploads .refused').length === 1");
    let said = browser.text("#uploads .refused");
    for part in ["quota", "Delete files of yours", "Try again"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    picture(&mut browser, "quota");

    enter(&mut browser, "anna");
    browser.eventually("!document.getElementById('nothing').hidden");
    browser.pick("#pick", &[&small]);
    browser.eventually("document.querySelectorAll('#stored li').length === 1");
    // What a link gives is the own file.
    browser.eval(
        "(() => {
            const make = URL.createObjectURL;
            URL.createObjectURL = blob => { window.given = blob.size; return make.call(URL, blob); };
            document.querySelector('#stored a').click();
        })()",
    );
    browser.eventually("window.given === 4");
    browser.eval("document.querySelector('[aria-label=\"Delete small\"]').click()");
    browser.eventually("!document.getElementById('nothing').hidden");
    let complaints = browser.complaints();
    let others: Vec<_> = complaints
        .iter()
        .filter(|text| !text.contains("the server responded"))
        .collect();
    assert_eq!(others, [""; 0]);
}
