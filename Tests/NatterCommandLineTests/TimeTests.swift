import Glibc
import NatterCommandLine
import NatterModel
import NatterSystem
import Testing
import TestSupport

/// One after another: the time zone belongs to the whole process.
@Suite("times as people write them", .serialized)
struct TimeTests {
    /// 2026-11-20T07:24:05.123Z.
    private let now = Timestamp(milliseconds: 1_795_159_445_123)

    private func parse(_ text: String, zone: String = "UTC0") -> String? {
        setenv("TZ", zone, 1)
        return TimeExpression.parse(text, now: now)?.rfc3339
    }

    @Test(
        "every form",
        arguments: [
            ("now", "2026-11-20T07:24:05.123Z"), ("today", "2026-11-20T00:00:00.000Z"),
            ("yesterday", "2026-11-19T00:00:00.000Z"), ("2026-11-20", "2026-11-20T00:00:00.000Z"),
            ("2026-11-20 07:24", "2026-11-20T07:24:00.000Z"), ("2026-11-20 07:24:05", "2026-11-20T07:24:05.000Z"),
            ("2026-11-20T07:24", "2026-11-20T07:24:00.000Z"),
            ("2026-11-20T07:24:05.5+01:00", "2026-11-20T06:24:05.500Z"),
            ("2026-11-20T07:24:05Z", "2026-11-20T07:24:05.000Z"), ("-45s", "2026-11-20T07:23:20.123Z"),
            ("-30m", "2026-11-20T06:54:05.123Z"), ("-2h", "2026-11-20T05:24:05.123Z"),
            ("-1d", "2026-11-19T07:24:05.123Z"), ("-1w", "2026-11-13T07:24:05.123Z"),
            ("-1h30m", "2026-11-20T05:54:05.123Z"), ("@0", "1970-01-01T00:00:00.000Z"),
            ("@1.5", "1970-01-01T00:00:01.500Z"), ("@1.0019", "1970-01-01T00:00:01.001Z"),
            ("@-0.25", "1969-12-31T23:59:59.750Z"), ("1969-12-31 23:59:59", "1969-12-31T23:59:59.000Z"),
            ("2h", "2026-11-20T05:24:05.123Z"), ("2d", "2026-11-18T07:24:05.123Z"),
            ("2026-11", "2026-11-01T00:00:00.000Z"), ("Today", "2026-11-20T00:00:00.000Z"),
            ("today 07:00", "2026-11-20T07:00:00.000Z"), ("yesterday 18:00", "2026-11-19T18:00:00.000Z"),
            ("yesterday at 18:00:05", "2026-11-19T18:00:05.000Z"), ("10:00", "2026-11-20T10:00:00.000Z"),
            ("7:24", "2026-11-20T07:24:00.000Z"), ("2 days ago", "2026-11-18T07:24:05.123Z"),
            ("2 days ago 10:00", "2026-11-18T10:00:00.000Z"), ("an hour ago", "2026-11-20T06:24:05.123Z"),
            ("20 days ago", "2026-10-31T07:24:05.123Z"), ("last week", "2026-11-13T07:24:05.123Z"),
            ("last month", "2026-10-20T07:24:05.123Z"), ("12 months ago", "2025-11-20T07:24:05.123Z"),
            ("11 months ago", "2025-12-20T07:24:05.123Z"), ("2 years ago", "2024-11-20T07:24:05.123Z"),
            // 20 November 2026 is a Friday.
            ("monday", "2026-11-16T00:00:00.000Z"), ("Friday", "2026-11-20T00:00:00.000Z"),
            ("last saturday", "2026-11-14T00:00:00.000Z"), ("sunday 09:30", "2026-11-15T09:30:00.000Z"),
            ("сегодня", "2026-11-20T00:00:00.000Z"), ("вчера в 18:00", "2026-11-19T18:00:00.000Z"),
            ("2 дня назад", "2026-11-18T07:24:05.123Z"), ("неделю назад", "2026-11-13T07:24:05.123Z"),
            ("на прошлой неделе", "2026-11-13T07:24:05.123Z"), ("понедельник", "2026-11-16T00:00:00.000Z"),
            ("в среду", "2026-11-18T00:00:00.000Z"), ("5 минут назад", "2026-11-20T07:19:05.123Z"),
            ("2h ago", "2026-11-20T05:24:05.123Z"), ("1h30m ago", "2026-11-20T05:54:05.123Z"),
            ("2ч назад", "2026-11-20T05:24:05.123Z"), ("in 2h", "2026-11-20T09:24:05.123Z"),
            ("in 2 days", "2026-11-22T07:24:05.123Z"), ("in an hour", "2026-11-20T08:24:05.123Z"),
            ("in 14 months", "2028-01-20T07:24:05.123Z"), ("через 2 дня", "2026-11-22T07:24:05.123Z"),
            ("через час", "2026-11-20T08:24:05.123Z"), ("next week", "2026-11-27T07:24:05.123Z"),
            ("next friday", "2026-11-27T00:00:00.000Z"), ("в следующий вторник", "2026-11-24T00:00:00.000Z"),
            ("tomorrow", "2026-11-21T00:00:00.000Z"), ("завтра в полдень", "2026-11-21T12:00:00.000Z"),
            ("послезавтра", "2026-11-22T00:00:00.000Z"), ("noon", "2026-11-20T12:00:00.000Z"),
            ("midnight", "2026-11-20T00:00:00.000Z"), ("tomorrow at midnight", "2026-11-21T00:00:00.000Z"),
            ("5pm", "2026-11-20T17:00:00.000Z"), ("5 PM", "2026-11-20T17:00:00.000Z"),
            ("12am", "2026-11-20T00:00:00.000Z"), ("12:30pm", "2026-11-20T12:30:00.000Z"),
            ("9 утра", "2026-11-20T09:00:00.000Z"), ("вчера в 9 вечера", "2026-11-19T21:00:00.000Z"),
            ("5pm yesterday", "2026-11-19T17:00:00.000Z"), ("18:00 monday", "2026-11-16T18:00:00.000Z"),
            ("20 nov", "2026-11-20T00:00:00.000Z"), ("nov 20", "2026-11-20T00:00:00.000Z"),
            ("Nov 20, 2025", "2025-11-20T00:00:00.000Z"), ("20th of November 18:00", "2026-11-20T18:00:00.000Z"),
            ("21 nov", "2025-11-21T00:00:00.000Z"), ("29 feb", "2024-02-29T00:00:00.000Z"),
            ("october", "2026-10-01T00:00:00.000Z"), ("oct 2025", "2025-10-01T00:00:00.000Z"),
            ("20 ноября", "2026-11-20T00:00:00.000Z"), ("3 мая 2025 г.", "2025-05-03T00:00:00.000Z"),
            ("20.11.2026", "2026-11-20T00:00:00.000Z"), ("20.11.2026 18:00", "2026-11-20T18:00:00.000Z"),
            ("20.11", "2026-11-20T00:00:00.000Z"), ("1.2 5pm", "2026-02-01T17:00:00.000Z"),
            ("0001-01-01", "0001-01-01T00:00:00.000Z"), ("9999-12-31", "9999-12-31T00:00:00.000Z"),
        ])
    func forms(text: String, expected: String) { #expect(parse(text) == expected) }

    @Test(
        "anything else is refused",
        arguments: [
            "", " ", "-", "-2", "-h", "+2h", "2 days", "days ago ago", "last", "ago", "10:60", "25:00",
            "monday tuesday",
            "now 10:00", "2 hours ago 10:00", "99999999 days ago", "x days ago", "2026-13", "2026-1", "-2h ", "-2 h",
            "-2y", "-1h30", "--2h", "-9999999999999999999w",
            "-99999999w", "@", "@x", "@1.", "@.5", "@1.x", "@1.5.5", "@--1", "@999999999999999", "@9999999999999999",
            "2026-11-31", "2026-2-1", "2026-13-01", "2026-11-20 ", "2026-11-20 7:24", "2026-11-20 24:00",
            "2026-11-20 07:24:60", "2026-11-20 07", "2026-11-20T", "26-11-20", "10000-01-01",
            "13pm", "0am", "pm", "5pm 6pm", "in", "in ago", "in 2 days ago", "in 2h 10:00", "next", "31 feb", "0 nov",
            "nov dec", "20 21 nov", "20.13", "31.11.2026", "20.11.26", "20.", "20.11.2026.1", "2026 nov 20",
            "in 99999999 days", "2h30", "20nov21",
            "２０２６-11-20", "2026-11-20 07:24:05:06",
        ])
    func refused(text: String) { #expect(parse(text) == nil) }

    @Test(
        "where the future is meant, a length, a day and a date without a year are ahead",
        arguments: [
            ("2h", "2026-11-20T09:24:05.123Z"), ("monday", "2026-11-23T00:00:00.000Z"),
            ("friday", "2026-11-27T00:00:00.000Z"), ("last monday", "2026-11-16T00:00:00.000Z"),
            ("19 nov", "2027-11-19T00:00:00.000Z"), ("20.12", "2026-12-20T00:00:00.000Z"),
            ("29 feb", "2028-02-29T00:00:00.000Z"), ("yesterday", "2026-11-19T00:00:00.000Z"),
            ("tomorrow 5pm", "2026-11-21T17:00:00.000Z"),
        ])
    func ahead(text: String, expected: String) {
        setenv("TZ", "UTC0", 1)
        #expect(TimeExpression.parse(text, now: now, isAhead: true)?.rfc3339 == expected)
    }

    @Test("dates without a zone are local, also where the clock changes")
    func zones() {
        let berlin = "CET-1CEST,M3.5.0,M10.5.0/3"
        #expect(parse("today", zone: berlin) == "2026-11-19T23:00:00.000Z")
        #expect(parse("yesterday", zone: berlin) == "2026-11-18T23:00:00.000Z")
        #expect(parse("2026-07-01 12:00", zone: berlin) == "2026-07-01T10:00:00.000Z")
        #expect(parse("2026-03-29", zone: berlin) == "2026-03-28T23:00:00.000Z")
        #expect(parse("2026-03-30", zone: berlin) == "2026-03-29T22:00:00.000Z")
        #expect(parse("2026-03-29 02:30", zone: berlin) != nil)
        #expect(parse("-1d", zone: berlin) == "2026-11-19T07:24:05.123Z")
        #expect(parse("2026-11-20T07:24:05Z", zone: berlin) == "2026-11-20T07:24:05.000Z")
        #expect(parse("today", zone: "NZST-12NZDT,M9.5.0,M4.1.0/3") == "2026-11-19T11:00:00.000Z")
        // Times before midnight of 0000-01-01 UTC cannot be written.
        #expect(parse("0000-01-01", zone: berlin) == nil)
    }

    @Test("people read the local clock")
    func text() {
        setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1)
        #expect(LocalTime.text(now) == "2026-11-20 08:24:05")
        #expect(LocalTime.civil(now).millisecond == 123)
        #expect(LocalTime.text(Timestamp(milliseconds: -1)) == "1970-01-01 00:59:59")
        // At 03:00 on 25 October 2026 the clocks go back to 02:00.
        let twice = [
            "2026-10-24T23:59:59Z": "01:59:59", "2026-10-25T00:30:00Z": "02:30:00+02:00",
            "2026-10-25T01:30:00Z": "02:30:00+01:00", "2026-10-25T02:00:00Z": "03:00:00",
            "2026-03-29T01:30:00Z": "03:30:00",
        ]
        for (moment, clock) in twice { #expect(Timestamp(rfc3339: moment).map(LocalTime.clock) == clock) }
        #expect(LocalTime.text(Timestamp(milliseconds: .max)).hasSuffix(":59"))
        setenv("TZ", "UTC0", 1)
        #expect(LocalTime.text(Timestamp(milliseconds: .min)) == "0000-01-01 00:00:00")
    }

    @Test("local time converts back to the same moment", arguments: UInt64(1)...200)
    func roundTrip(seed: UInt64) {
        setenv("TZ", "EST5EDT,M3.2.0,M11.1.0", 1)
        var generator = SeededGenerator(seed: seed)
        let time = Timestamp(milliseconds: .random(in: -30_000_000_000_000...30_000_000_000_000, using: &generator))
        let back = LocalTime.civil(time).localMoment
        // The hour that comes twice each autumn may lead to the other of the two.
        let difference = (back?.milliseconds ?? .max).subtractingReportingOverflow(time.milliseconds).partialValue
        #expect([0, 3_600_000, -3_600_000].contains(difference))
    }

    @Test("random texts never crash", arguments: UInt64(1)...100)
    func random(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let pieces = [
            "-", "@", "9", "0", "2026", "11", "20", ":", "T", " ", ".", "h", "w", "Z", "+", "é", "\u{0}", "now", "pm",
            "nov", "in", "ago", "next", ",", "day",
        ]
        for _ in 0..<100 {
            let text = (0..<Int.random(in: 0...12, using: &generator)).compactMap { _ in
                pieces.randomElement(using: &generator)
            }.joined()
            if let time = TimeExpression.parse(text, now: now) { #expect(Timestamp.range.contains(time)) }
        }
    }

    @Test("lengths of time")
    func spans() {
        #expect(TimeSpan.parse("90d") == 7_776_000_000)
        #expect(TimeSpan.parse("1h30m") == 5_400_000)
        #expect(TimeSpan.parse("0s") == 0)
        for bad in ["", "d", "90", "1.5h", "-1d", "1 d", "99999999999999999999s", "9999999999w", "1hm"] {
            #expect(TimeSpan.parse(bad) == nil)
        }
    }

    @Test(
        "ages",
        arguments: [
            (0, "just now"), (999, "just now"), (1_000, "1 second ago"), (59_999, "59 seconds ago"),
            (60_000, "1 minute ago"),
            (180_000, "3 minutes ago"), (7_200_000, "2 hours ago"), (86_400_000, "1 day ago"),
            (14 * 86_400_000, "2 weeks ago"), (800 * 86_400_000, "2 years ago"), (-5_000, "just now"),
        ] as [(Int64, String)])
    func ages(milliseconds: Int64, text: String) {
        #expect(Age.text(of: now.advanced(milliseconds: -milliseconds), now: now).english == text)
    }

    @Test("ages of the ends of time don't overflow")
    func extremes() {
        #expect(Age.text(of: Timestamp(milliseconds: .max), now: Timestamp(milliseconds: .min)) == "just now")
        #expect(
            Age.text(of: Timestamp(milliseconds: .min), now: Timestamp(milliseconds: .max)).english.hasSuffix(
                "years ago"))
    }
}
