"""The relay as a service of the user, started at login: systemd, launchd, Windows' task scheduler.

Each module makes a `ServicePlan` of the same `ServiceProgram`; they are pure."""
