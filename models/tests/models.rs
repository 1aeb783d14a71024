//! Each model is run with every order of its threads' steps.

use tower_storage_guard::__models as models;

macro_rules! run {
    ($($name:ident)*) => {
        $(#[test] fn $name() { models::$name(); })*
    };
}

run! {
    what_fits_an_account_fits_the_disk
    closed_bytes_return_once
    no_two_threads_have_the_same_place
    nobody_sees_some_old_and_some_new_limits
    a_hold_ends_once_whoever_goes_last
    a_failure_is_not_forgotten_by_the_end_of_its_hold
    tenants_get_back_what_was_not_stored
    a_slot_is_whole_for_its_next_user
    granted_bytes_are_fetched_or_given_back
    whoever_waits_is_woken
    what_is_given_back_is_not_spent
    debts_come_before_grants
    a_grant_is_never_open_to_others
    the_last_reference_removes_an_unused_tenant
    a_charged_tenant_is_not_removed
    a_referenced_tenant_is_not_removed
    a_tenant_given_back_whole_is_not_removed
}
