-- No function is everyone's. A new one is executed by its owner alone until a grant says otherwise.

REVOKE EXECUTE ON ALL ROUTINES IN SCHEMA public FROM PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON ROUTINES FROM PUBLIC;

-- What queries and row policies ask.
GRANT EXECUTE ON FUNCTION clock_ms
    TO tallystick_sequencer, tallystick_worker, tallystick_api, tallystick_registrar,
        tallystick_definer;
GRANT EXECUTE ON FUNCTION named_account TO tallystick_definer;
GRANT EXECUTE ON FUNCTION present, presented_key, current_account, current_word, current_key,
    current_scopes, current_surfaces, key_may, entry_units TO tallystick_api;
GRANT EXECUTE ON FUNCTION presented TO tallystick_api, tallystick_definer;
GRANT EXECUTE ON FUNCTION refuse_request TO tallystick_definer;
