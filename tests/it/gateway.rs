//! The one way to hold the promises of [`crate::support::suite`] and [`crate::support::demo`] in front of a gateway.
//!
//! A gateway's file says in `holds` how a promise is held, and in `with_demo` how the demo is put behind the gateway.

/// Makes a test of each promise, with the example as it is shipped.
macro_rules! promises {
    ($($test:ident: $promise:path;)*) => {
        $(#[test]
        fn $test() {
            holds(Default::default(), &[$promise]);
        })*
    };
}

/// Makes a test of each promise about the issuer behind the gateway, and one of the gateway's README, where this address
/// stands for the gateway's.
macro_rules! promises_of_demo {
    ($readme:literal, $address:literal) => {
        #[test]
        fn the_readme_can_be_typed_as_it_stands() {
            with_demo(|gateway, app| {
                demo::the_readme_can_be_typed($readme, $address, gateway, app)
            });
        }

        #[test]
        fn nobody_brings_an_address_to_the_issuer() {
            with_demo(|gateway, _| demo::nobody_brings_an_address(gateway));
        }

        #[test]
        fn only_what_is_listed_leads_to_the_issuer() {
            with_demo(demo::only_what_is_listed_leads_to_the_issuer);
        }

        #[test]
        fn all_that_is_advertised_leads_to_the_issuer() {
            with_demo(demo::all_that_is_advertised_leads_to_the_issuer);
        }
    };
}

pub(crate) use {promises, promises_of_demo};
