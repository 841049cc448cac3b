internal import NatterCLI
internal import NatterModel
internal import NatterServer
internal import NatterSystem
internal import NatterWire

/// The service's log on standard error: a line for each event, as text for people and journals or as JSON for programs.
/// From any thread.
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

    private let state: Monitor<State>
    private let clock: any WallClock

    init(_ output: Output, settings: Settings, clock: any WallClock) {
        state = Monitor(State(output: output, settings: settings))
        self.clock = clock
    }

    func use(_ settings: Settings) { state.withLock { $0.settings = settings } }

    func write(_ event: Event) {
        let settings = state.withLock { $0.settings }
        guard event.level >= settings.level else { return }
        let line = EventLog.line(event, at: clock.now(), settings.format)
        // A log that nobody takes any more must not end the service.
        state.withLock { state in
            try? state.output.write(line)
            try? state.output.flush()
        }
    }

    static func line(_ event: Event, at time: Timestamp, _ format: Format) -> [UInt8] {
        switch format {
        case .text: text(event, at: time)
        case .json: json(event, at: time)
        }
    }

    /// `2026-11-20T07:24:05.123Z info request method=GET status=200`, each value quoted where its end would not be seen.
    private static func text(_ event: Event, at time: Timestamp) -> [UInt8] {
        var line = Array("\(time.rfc3339) \(event.level.name) \(event.name)".utf8)
        for (key, value) in event.fields {
            line.append(UInt8(ascii: " "))
            line += Array(key.utf8)
            line.append(UInt8(ascii: "="))
            let isPlain =
                !value.isEmpty
                && value.utf8.allSatisfy { $0 > 0x20 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "=") }
            if isPlain {
                TerminalText.append(escaping: value, .name, to: &line)
            } else {
                line.append(UInt8(ascii: "\""))
                let quoted = value.utf8.flatMap { byte -> [UInt8] in
                    byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") ? [UInt8(ascii: "\\"), byte] : [byte]
                }
                TerminalText.append(escaping: quoted, .name, to: &line)
                line.append(UInt8(ascii: "\""))
            }
        }
        line.append(UInt8(ascii: "\n"))
        return line
    }

    /// `{"time":…,"level":…,"event":…}` and the fields, all of them strings.
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

extension Event.Level {
    var name: String {
        switch self {
        case .debug: "debug"
        case .info: "info"
        case .warning: "warning"
        case .error: "error"
        }
    }

    init?(name: String) {
        guard let level = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = level
    }
}
