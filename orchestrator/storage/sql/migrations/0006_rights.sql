-- Rights to the functions that queries and row policies ask.
GRANT EXECUTE ON FUNCTION clock_ms
    TO tallystick_sequencer, tallystick_worker, tallystick_api, tallystick_registrar,
        tallystick_definer;
GRANT EXECUTE ON FUNCTION named_account TO tallystick_definer;
GRANT EXECUTE ON FUNCTION entry_units TO tallystick_api;
GRANT EXECUTE ON FUNCTION presented TO tallystick_api, tallystick_definer;
GRANT EXECUTE ON FUNCTION refuse_request TO tallystick_definer;
