import NatterModel
import Testing
import TestSupport

@Suite("times")
struct TimestampTests {
    @Test("come back from their text", arguments: UInt64(1)...100)
    func roundTrip(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<100 {
            let range = Timestamp.range.lowerBound.milliseconds...Timestamp.range.upperBound.milliseconds
            let time = Timestamp(milliseconds: Int64.random(in: range, using: &generator))
            #expect(Timestamp(rfc3339: time.rfc3339) == time, "\(time.milliseconds)")
            let civil = CivilTime(milliseconds: time.milliseconds)
            #expect(civil.isValid && civil.utc == time)
        }
    }

    @Test("follow each other day by day through every kind of year")
    func days() {
        var former = CivilTime(year: -1, month: 12, day: 31)
        // 800 years hold each rule of leap years twice.
        for day in Int64(-719_528)..<(-719_528 + 292_194) {
            let time = CivilTime(milliseconds: day * 86_400_000)
            let isNextDay = time.day == former.day + 1 && time.month == former.month && time.year == former.year
            let isNextMonth = time.day == 1 && time.month == former.month + 1 && time.year == former.year
            let isNextYear = time.day == 1 && time.month == 1 && former.month == 12 && time.year == former.year + 1
            guard isNextDay || isNextMonth || isNextYear, time.daysSinceEpoch == day, time.isValid else {
                Issue.record("day \(day): \(time)")
                return
            }
            former = time
        }
        #expect(former.year == 799 && former.month == 12 && former.day == 31)
    }

    @Test(
        "have the text that others give them",
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"), (1_000, "1970-01-01T00:00:01.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"), (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_164_800_123, "2024-02-29T00:00:00.123Z"), (-2_203_891_200_000, "1900-03-01T00:00:00.000Z"),
            (-2_203_891_200_001, "1900-02-28T23:59:59.999Z"), (1_795_159_445_123, "2026-11-20T07:24:05.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"), (2_147_483_648_000, "2038-01-19T03:14:08.000Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"), (-62_162_035_200_001, "0000-02-29T23:59:59.999Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] as [(Int64, String)])
    func vectors(milliseconds: Int64, text: String) {
        #expect(Timestamp(milliseconds: milliseconds).rfc3339 == text)
        #expect(Timestamp(rfc3339: text)?.milliseconds == milliseconds)
    }

    @Test(
        "are read in every form of RFC 3339",
        arguments: [
            ("2026-11-20T07:24:05Z", "2026-11-20T07:24:05.000Z"), ("2026-11-20t07:24:05z", "2026-11-20T07:24:05.000Z"),
            ("2026-11-20 07:24:05Z", "2026-11-20T07:24:05.000Z"),
            ("2026-11-20T07:24:05.1Z", "2026-11-20T07:24:05.100Z"),
            ("2026-11-20T07:24:05.12Z", "2026-11-20T07:24:05.120Z"),
            ("2026-11-20T07:24:05.123999999999Z", "2026-11-20T07:24:05.123Z"),
            ("2026-11-20T07:24:05+03:00", "2026-11-20T04:24:05.000Z"),
            ("2026-11-20T00:24:05+03:00", "2026-11-19T21:24:05.000Z"),
            ("2026-12-31T23:59:59-23:59", "2027-01-01T23:58:59.000Z"),
            ("2026-11-20T07:24:05+05:45", "2026-11-20T01:39:05.000Z"),
            ("2026-11-20T07:24:05-00:00", "2026-11-20T07:24:05.000Z"),
            ("1990-12-31T23:59:60Z", "1990-12-31T23:59:59.000Z"), ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"),
            ("0000-01-01T00:00:00-00:01", "0000-01-01T00:01:00.000Z"),
            ("9999-12-31T23:59:59.999+00:01", "9999-12-31T23:58:59.999Z"),
        ])
    func forms(text: String, meaning: String) {
        #expect(Timestamp(rfc3339: text)?.rfc3339 == meaning)
    }

    @Test(
        "are not read from anything else",
        arguments: [
            "", "2026", "2026-11-20", "2026-11-20T07:24:05", "2026-11-20T07:24Z", "2026-11-20T07:24:05.Z",
            "2026-11-20T07:24:05,1Z", "2026-11-20T07:24:05.123Z ", " 2026-11-20T07:24:05.123Z",
            "2026-11-20T07:24:05.123ZZ",
            "2026-11-20T07:24:05+0300", "2026-11-20T07:24:05+03", "2026-11-20T07:24:05+24:00",
            "2026-11-20T07:24:05+03:60",
            "2026-11-20T07:24:05+3:00", "2026-11-20  07:24:05Z", "2026-11-20_07:24:05Z", "26-11-20T07:24:05Z",
            "02026-11-20T07:24:05Z", "+2026-11-20T07:24:05Z", "-2026-11-20T07:24:05Z", "2026-1-20T07:24:05Z",
            "2026-00-20T07:24:05Z", "2026-13-20T07:24:05Z", "2026-11-00T07:24:05Z", "2026-11-31T07:24:05Z",
            "2026-02-29T07:24:05Z", "1900-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2026-11-20T24:00:00Z",
            "2026-11-20T07:60:05Z", "2026-11-20T07:24:61Z", "2026/11/20T07:24:05Z", "٢٠٢٦-11-20T07:24:05Z",
            "2026-11-20T07:24:05.123\u{0}Z", "0000-01-01T00:00:00+00:01", "9999-12-31T23:59:59.999-00:01",
        ])
    func badForms(text: String) {
        #expect(Timestamp(rfc3339: text) == nil)
    }

    @Test("cut anywhere are not read")
    func cut() {
        let text = "2026-11-20T07:24:05.123+03:00"
        for count in 0..<text.count { #expect(Timestamp(rfc3339: text.prefix(count)) == nil) }
    }

    @Test("outside the calendar's range are written as the nearest one in it")
    func outOfRange() {
        #expect(Timestamp(milliseconds: .max).rfc3339 == "9999-12-31T23:59:59.999Z")
        #expect(Timestamp(milliseconds: 253_402_300_800_000).rfc3339 == "9999-12-31T23:59:59.999Z")
        #expect(Timestamp(milliseconds: .min).rfc3339 == "0000-01-01T00:00:00.000Z")
        #expect(Timestamp(milliseconds: -62_167_219_200_001).rfc3339 == "0000-01-01T00:00:00.000Z")
    }

    @Test("can be moved without overflow")
    func saturating() {
        #expect(Timestamp(milliseconds: .max).advanced(milliseconds: 1).milliseconds == .max)
        #expect(Timestamp(milliseconds: .min).advanced(milliseconds: -1).milliseconds == .min)
        #expect(Timestamp(milliseconds: 5).advanced(milliseconds: -7).milliseconds == -2)
    }

    @Test("have a day that their month has")
    func validity() {
        let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        for (index, length) in lengths.enumerated() {
            #expect(CivilTime(year: 2025, month: index + 1, day: length).isValid)
            #expect(!CivilTime(year: 2025, month: index + 1, day: length + 1).isValid)
            #expect(!CivilTime(year: 2025, month: index + 1, day: 0).isValid)
        }
        for (year, isLeap) in [(2000, true), (1900, false), (2024, true), (2023, false), (0, true), (2100, false)] {
            #expect(CivilTime(year: Int64(year), month: 2, day: 29).isValid == isLeap)
        }
        for (year, month) in [(-1, 1), (10_000, 1), (2025, 0), (2025, 13)] {
            #expect(!CivilTime(year: Int64(year), month: month, day: 1).isValid)
        }
        let fields: [(WritableKeyPath<CivilTime, Int>, Int)] = [
            (\.hour, 23), (\.minute, 59), (\.second, 59), (\.millisecond, 999),
        ]
        for (field, highest) in fields {
            var time = CivilTime(year: 2025, month: 1, day: 1)
            time[keyPath: field] = highest
            #expect(time.isValid)
            time[keyPath: field] = highest + 1
            #expect(!time.isValid)
            time[keyPath: field] = -1
            #expect(!time.isValid)
        }
    }
}
