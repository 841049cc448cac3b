internal import Glibc
public import NatterModel
internal import Synchronization

/// The time of day, which an administrator can change. Use it for times that are shown or stored.
public protocol WallClock: Sendable {
    func now() -> Timestamp
}

public struct SystemClock: WallClock {
    public init() {}

    public func now() -> Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(milliseconds: Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000)
    }
}

/// Time that never goes back and that nobody can set. Use it for timeouts and limits.
public enum MonotonicClock {
    /// Milliseconds since an arbitrary fixed moment.
    public static func now() -> Int64 { nanoseconds() / 1_000_000 }

    public static func nanoseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}

/// Time since the machine began, with the time for which it was suspended. Nobody can set it.
public enum BootClock {
    /// Milliseconds since the machine began.
    public static func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
    }
}

/// A wall clock that does not follow a jump of the system's.
///
/// Times within a conversation never go back. If the clock showed the year 2036 for a moment, all later messages would
/// have that time for ten years, and retention would drop all earlier ones. So a step of the system's clock that the time
/// since the machine began does not show is ignored. Only a new clock, of a new process, takes the system's time as it is:
/// a reload may come for another reason, such as a new certificate, with nobody looking.
public final class SteadyClock: WallClock {
    /// A longer step is a jump. Time services correct a running clock by less.
    public static let toleranceMilliseconds: Int64 = 600_000

    private let wall: any WallClock
    private let elapsed: @Sendable () -> Int64
    private let onJump: @Sendable (Int64) -> Void
    /// The time of the wall clock when the other shows 0.
    private let base: Atomic<Int64>
    /// How far the system's clock is ahead; 0 while it is followed.
    private let ahead = Atomic<Int64>(0)

    /// - Parameter onJump: called once for each jump, with the milliseconds that the system's clock is ahead, and with 0 when
    ///   it is followed again.
    public init(
        _ wall: any WallClock = SystemClock(), elapsed: @escaping @Sendable () -> Int64 = BootClock.now,
        onJump: @escaping @Sendable (Int64) -> Void
    ) {
        (self.wall, self.elapsed, self.onJump) = (wall, elapsed, onJump)
        base = Atomic(wall.now().milliseconds &- elapsed())
    }

    /// How many milliseconds the system's clock is ahead of this one because it jumped; nil while they agree.
    public var jump: Int64? {
        let ahead = ahead.load(ordering: .relaxed)
        return ahead == 0 ? nil : ahead
    }

    public func now() -> Timestamp {
        let (shown, since) = (wall.now().milliseconds, elapsed())
        let expected = since &+ base.load(ordering: .relaxed)
        let difference = shown &- expected
        guard difference.magnitude > UInt64(SteadyClock.toleranceMilliseconds) else {
            if ahead.exchange(0, ordering: .relaxed) != 0 { onJump(0) }
            // Small corrections must not add up to a jump.
            if difference != 0 { base.store(shown &- since, ordering: .relaxed) }
            return Timestamp(milliseconds: shown)
        }
        if ahead.exchange(difference, ordering: .relaxed) == 0 { onJump(difference) }
        return Timestamp(milliseconds: expected)
    }
}

extension CivilTime {
    /// The moment of this local time, in the C library's time zone: `TZ`, else the system's. A time that a clock change
    /// skips is counted from before the change. If a time occurs twice, it is the first. `day` may be 0, which is the last day
    /// of the previous month.
    ///
    /// It is nil outside the years 0 to 9999.
    public var localMoment: Timestamp? {
        guard (0...9_999).contains(year) else { return nil }
        _ = CivilTime.zone
        // mktime would look for the nearest summer time, which takes long where there is none, and would choose between two by
        // what it was asked for before.
        let shown = (utc.milliseconds - Int64(millisecond)) / 1_000
        let before = CivilTime.offset(at: shown - 86_400)
        let choices = [before, CivilTime.offset(at: shown + 86_400)].map { shown - $0 }
        let found = choices.filter { $0 + CivilTime.offset(at: $0) == shown }.min() ?? shown - before
        let time = Timestamp(milliseconds: found * 1_000 + Int64(millisecond))
        return Timestamp.range.contains(time) ? time : nil
    }

    private static let zone: Void = tzset()

    /// How many seconds local clocks are ahead of UTC.
    private static func offset(at seconds: Int64) -> Int64 {
        var moment = time_t(seconds)
        var fields = tm()
        return localtime_r(&moment, &fields) == nil ? 0 : Int64(fields.tm_gmtoff)
    }
}
