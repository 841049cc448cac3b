internal import Glibc
internal import NatterCommandLine
internal import NatterModel
internal import NatterServer
internal import NatterSystem
internal import NatterProtocol

/// The service log on standard error, one line per event: text for people and journals, or JSON for programs.
/// Thread-safe.
///
/// A thread of its own writes the lines, so that a reader who does not read delays no request. Lines that find no room
/// are dropped and counted.
final class EventLog: Sendable {
    enum Format: String, Sendable, CaseIterable {
        case text, json
    }

    struct Settings: Sendable, Equatable {
        var level: Event.Level = .info
        var format: Format = .text
    }

    /// Bytes of lines that may wait for the reader of standard error.
    static let queueBytes = 1 << 20
    /// How long the end of the service waits for that reader.
    private static let closeMilliseconds = 1_000

    private struct Queue {
        var settings: Settings
        var lines: [UInt8] = []
        /// Lines dropped since the last one that was written.
        var dropped = 0
        var isWriting = false
        var isClosing = false
    }

    /// Recent events, for remote admins.
    let recent = ServiceLog()
    private let queue: Monitor<Queue>
    private let clock: any WallClock
    /// Whether each line begins with its priority, which the journal of systemd takes off: `<4>` for a warning, as in
    /// sd-daemon(3).
    private let isJournal: Bool

    init(
        _ output: Output, settings: Settings, clock: any WallClock, isJournal: Bool = false
    ) throws(DiskError) {
        queue = Monitor(Queue(settings: settings))
        (self.clock, self.isJournal) = (clock, isJournal)
        let output = Monitor(output)
        try SystemThread(name: "natter-log") { [queue, clock] in
            EventLog.write(queue, to: output, clock, isJournal: isJournal)
        }.detach()
    }

    /// Whether a file is the stream to the journal that systemd has named in `JOURNAL_STREAM`, as device and inode.
    static func isJournal(_ stream: String?, _ descriptor: Int32 = STDERR_FILENO) -> Bool {
        var status = stat()
        guard let stream, fstat(descriptor, &status) == 0 else { return false }
        return stream == "\(status.st_dev):\(status.st_ino)"
    }

    func use(_ settings: Settings) { queue.withLock { $0.settings = settings } }

    func write(_ event: Event) {
        let settings = queue.withLock { $0.settings }
        guard event.level >= settings.level else { return }
        let now = clock.now()
        recent.write(event, at: now)
        let line = EventLog.line(event, at: now, settings.format, isJournal: isJournal)
        queue.signal { queue in
            if queue.lines.count + line.count <= EventLog.queueBytes {
                queue.lines += line
            } else {
                queue.dropped += 1
            }
        }
    }

    /// Waits until everything is written, but not for a reader that does not read.
    func close() {
        queue.signal { $0.isClosing = true }
        queue.wait(timeoutMilliseconds: EventLog.closeMilliseconds) {
            $0.lines.isEmpty && $0.dropped == 0 && !$0.isWriting
        }
    }

    /// The thread's body.
    private static func write(
        _ queue: Monitor<Queue>, to output: Monitor<Output>, _ clock: any WallClock, isJournal: Bool
    ) {
        while let taken = next(queue) {
            var lines = taken.lines
            if taken.dropped > 0 {
                let event = Event(.warning, "log_dropped", [("lines", String(taken.dropped))])
                lines += line(event, at: clock.now(), taken.settings.format, isJournal: isJournal)
            }
            // A closed standard error must not end the service.
            output.withLock { output in
                try? output.write(lines)
                try? output.flush()
            }
            queue.signal { $0.isWriting = false }
        }
    }

    /// Takes the lines to write next; nil at the end.
    private static func next(_ queue: Monitor<Queue>) -> Queue? {
        func take(_ queue: inout Queue) -> Queue? {
            guard !queue.lines.isEmpty || queue.dropped > 0 else { return nil }
            defer { (queue.lines, queue.dropped, queue.isWriting) = ([], 0, true) }
            return queue
        }
        return queue.next(take, unless: { $0.isClosing })
    }

    static func line(_ event: Event, at time: Timestamp, _ format: Format, isJournal: Bool = false) -> [UInt8] {
        let line =
            switch format {
            case .text: ServiceLine.bytes(time.rfc3339, event.level.name, event.name, event.fields)
            case .json: json(event, at: time)
            }
        return isJournal ? Array("<\(priority(of: event.level))>".utf8) + line : line
    }

    /// As in syslog(3).
    private static func priority(of level: Event.Level) -> Int32 {
        switch level {
        case .debug: LOG_DEBUG
        case .info: LOG_INFO
        case .warning: LOG_WARNING
        case .error: LOG_ERR
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
