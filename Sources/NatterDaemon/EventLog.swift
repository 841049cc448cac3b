internal import NatterCLI
internal import NatterModel
internal import NatterServer
internal import NatterSystem
internal import NatterWire

/// The service log on standard error, one line per event: text for people and journals, or JSON for programs.
/// Thread-safe.
final class EventLog: Sendable {
    enum Format: String, Sendable, CaseIterable {
        case text, json
    }

    struct Settings: Sendable, Equatable {
        var level: Event.Level = .info
        var format: Format = .text
    }

    private struct State {
        let output: Output
        var settings: Settings
    }

    /// Recent events of every level, for remote admins.
    let recent = ServiceLog()
    private let state: Monitor<State>
    private let clock: any WallClock

    init(_ output: Output, settings: Settings, clock: any WallClock) {
        state = Monitor(State(output: output, settings: settings))
        self.clock = clock
    }

    func use(_ settings: Settings) { state.withLock { $0.settings = settings } }

    func write(_ event: Event) {
        let now = clock.now()
        recent.write(event, at: now)
        let settings = state.withLock { $0.settings }
        guard event.level >= settings.level else { return }
        let line = EventLog.line(event, at: now, settings.format)
        // A closed standard error must not end the service.
        state.withLock { state in
            try? state.output.write(line)
            try? state.output.flush()
        }
    }

    static func line(_ event: Event, at time: Timestamp, _ format: Format) -> [UInt8] {
        switch format {
        case .text: ServiceLine.bytes(time.rfc3339, event.level.name, event.name, event.fields)
        case .json: json(event, at: time)
        }
    }

    /// `{"time":…,"level":…,"event":…}` and the fields. All values are strings.
    private static func json(_ event: Event, at time: Timestamp) -> [UInt8] {
        var line: [UInt8] = []
        let fixed = [("time", time.rfc3339), ("level", event.level.name), ("event", event.name)]
        for (key, value) in fixed + event.fields.map({ ($0.key, $0.value) }) {
            line.append(UInt8(ascii: line.isEmpty ? "{" : ","))
            line += WireJSON.encode(key)
            line.append(UInt8(ascii: ":"))
            TerminalText.append(escaping: WireJSON.encode(value), .json, to: &line)
        }
        line += Array("}\n".utf8)
        return line
    }
}
