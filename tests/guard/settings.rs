//! Invalid settings are errors that name the setting, its value and the remedy.

use std::time::Duration;

use tower_storage_guard::{
    BuildErrorKind, FailurePolicy, Floor, Publisher, Reading, Resource, SizeModel, StorageGuardLayer,
    test_util::FakeProbe,
};

use crate::support::*;

#[test]
fn settings_of_a_resource() {
    let resource = || Resource::builder("fake", FakeProbe::new(Reading::new(10, 10)));
    for (builder, setting, value) in [
        (resource().floor(Floor::percent(101.0)), "floor", "101 %"),
        (
            resource().floor(Floor::bytes(2).at_most(1)),
            "floor",
            "at least 2 and at most 1",
        ),
        (resource().near(Floor::percent(-1.0)), "near", "-1 %"),
        (resource().exit_margin(Floor::percent(f64::NAN)), "exit_margin", "NaN"),
        (resource().interval(Duration::ZERO), "interval", "0ns"),
        (resource().interval(Duration::from_secs(7200)), "interval", "7200s"),
        (
            resource().min_interval(Duration::from_millis(251)),
            "min_interval",
            "251ms",
        ),
        (resource().min_interval(Duration::from_millis(9)), "min_interval", "9ms"),
        (resource().max_age(Duration::from_millis(250)), "max_age", "250ms"),
        (
            resource().first_measurement_within(Duration::ZERO),
            "first_measurement_within",
            "0ns",
        ),
    ] {
        let error = builder.build().expect_err(setting);
        assert_eq!(
            (error.kind(), error.setting()),
            (BuildErrorKind::InvalidSetting, setting)
        );
        let words = error.to_string();
        assert!(
            words.starts_with(setting) && words.contains(value) && words.contains("give "),
            "{words}"
        );
    }
}

#[test]
fn settings_of_a_layer() {
    let one = || guarding(disk(10).resource());
    let of = |number| {
        (0..number).fold(StorageGuardLayer::builder(), |builder, _| {
            builder.resource(disk(10).resource())
        })
    };
    of(8).build().expect("eight are few enough");
    let nine = of(9);
    for (builder, setting) in [
        (StorageGuardLayer::builder(), "resource"),
        (nine, "resource"),
        (one().size_model(SizeModel::default().factor(0.0)), "size_model"),
        (one().max_body(5).minimum_charge(6), "minimum_charge"),
    ] {
        let error = builder.build().expect_err(setting);
        assert_eq!(
            (error.kind(), error.setting()),
            (BuildErrorKind::InvalidSetting, setting)
        );
    }
    one()
        .max_body(5)
        .minimum_charge(5)
        .build()
        .expect("each takes all there is");
    StorageGuardLayer::builder()
        .max_body(5)
        .build()
        .expect("a plain body limit is a guard");
    StorageGuardLayer::builder()
        .enabled(false)
        .build()
        .expect("nothing to guard, and switched off");
}

#[test]
fn a_missing_directory_is_an_error_at_start_that_names_it() {
    let error = StorageGuardLayer::for_path("/no/such/directory").expect_err("missing");
    assert_eq!(error.kind(), BuildErrorKind::FirstMeasurement);
    let words = error.to_string();
    assert!(
        words.contains("/no/such/directory") && words.contains("No such file"),
        "{words}"
    );
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn a_first_measurement_that_fails_or_hangs_is_an_error_at_start() {
    let probe = FakeProbe::new(Reading::new(10, 10));
    probe.hang();
    let limit = Duration::from_millis(20);
    let hangs = Resource::builder("slow", probe.clone())
        .first_measurement_within(limit)
        .build();
    assert!(hangs.expect_err("hangs").to_string().contains("within 20ms"));
    probe.fail("broken");
    assert!(
        Resource::builder("bad", probe)
            .build()
            .expect_err("fails")
            .to_string()
            .contains("broken")
    );
    let (_publisher, nothing) = Publisher::new();
    assert!(Resource::builder("empty", nothing).build().is_err());
}

#[test]
fn any_name_will_do() {
    Resource::builder("nul\0byte", FakeProbe::new(Reading::new(10, 10)))
        .build()
        .expect("a name is only a name");
}

#[test]
fn a_policy_without_delay_is_fine() {
    let hold = FailurePolicy::Hold {
        at_most: Duration::ZERO,
        then: tower_storage_guard::Fallback::Open,
    };
    let probe = FakeProbe::new(Reading::new(10, 10));
    Resource::builder("fake", probe)
        .on_probe_failure(hold)
        .build()
        .expect("at once is a time too");
}
