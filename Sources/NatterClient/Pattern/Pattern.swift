internal import CPCRE2
public import NatterModel
internal import Synchronization

/// A regular expression or a substring to search many texts for. It is not thread-safe.
///
/// Letter case is ignored in every script, and `^` and `$` match at each line of a text. A regular expression can change both
/// with `(?-i)` and `(?-m)`. The cost for one text is limited, whatever the pattern.
///
/// - SeeAlso: pcre2pattern(3).
public final class Pattern {
    /// The limits for one attempt. A text has at most 64 KiB, so a reasonable pattern stays far below them.
    private enum Limit {
        static let steps: UInt32 = 1_000_000
        static let depth: UInt32 = 250_000
        static let heapKiB: UInt32 = 65_536
        static let jitStackBytes = 8 << 20
        static let patternBytes = 65_536
        /// More matches than a reader can use in one text.
        static let ranges = 1_000
    }

    private let source: String
    private let code: OpaquePointer
    private let context: OpaquePointer
    /// The limits of `context` without a stack, which only one thread may use.
    private let sharedContext: OpaquePointer
    private let data: OpaquePointer
    /// nil: the library's own stack, which is small.
    private let jitStack: OpaquePointer?
    /// Finds the ASCII text that each match contains, without regard to case; nil if none is known.
    private let required: OpaquePointer?
    /// Whether what stands before and behind a text can't take a match from it, and joined texts don't take too many steps.
    private let isFree: Atomic<Bool>

    /// - Throws: `PatternError.invalid`, `.tooLong`, or `.failed` if there is no memory.
    public convenience init(regex: String) throws(PatternError) {
        try self.init(
            regex, source: regex, required: RequiredText.find(in: regex), isFree: Surroundings.areIgnored(by: regex))
    }

    /// Searches for a string anywhere in a text, also within words. Accents of Latin letters are ignored, and ё equals е.
    public convenience init(substring: String) throws(PatternError) {
        try self.init(LetterFolding.pattern(for: substring), source: substring, required: nil, isFree: false)
    }

    private init(_ pattern: String, source: String, required: String?, isFree: Bool) throws(PatternError) {
        let noMemory = PatternError.failed(pattern: source, reason: "there is no memory")
        let code = try Pattern.compile(pattern, source: source)
        // One pair of offsets: only the whole match is needed, no groups.
        guard let data = pcre2_match_data_create_8(1, nil) else {
            pcre2_code_free_8(code)
            throw noMemory
        }
        guard let context = Pattern.limits(), let sharedContext = pcre2_match_context_copy_8(context) else {
            pcre2_match_data_free_8(data)
            pcre2_code_free_8(code)
            throw noMemory
        }
        // If the system forbids generated code, PCRE2 interprets the pattern.
        if pcre2_jit_compile_8(code, PCRE2_JIT_COMPLETE) == 0,
            let stack = pcre2_jit_stack_create_8(32 << 10, Limit.jitStackBytes, nil)
        {
            pcre2_jit_stack_assign_8(context, nil, UnsafeMutableRawPointer(stack))
            jitStack = stack
        } else {
            jitStack = nil
        }
        (self.source, self.code, self.context, self.data) = (source, code, context, data)
        self.sharedContext = sharedContext
        self.required = required.flatMap { Pattern.compileRequired($0) }
        var matchesEmpty: UInt32 = 1
        pcre2_pattern_info_8(code, UInt32(PCRE2_INFO_MATCHEMPTY), &matchesEmpty)
        // Among joined texts an empty one has no place.
        self.isFree = Atomic(isFree && matchesEmpty == 0)
    }

    deinit {
        pcre2_match_data_free_8(data)
        pcre2_match_context_free_8(context)
        pcre2_match_context_free_8(sharedContext)
        pcre2_jit_stack_free_8(jitStack)
        pcre2_code_free_8(code)
        pcre2_code_free_8(required)
    }

    private static func limits() -> OpaquePointer? {
        guard let context = pcre2_match_context_create_8(nil) else { return nil }
        pcre2_set_match_limit_8(context, Limit.steps)
        pcre2_set_depth_limit_8(context, Limit.depth)
        pcre2_set_heap_limit_8(context, Limit.heapKiB)
        return context
    }

    /// Whether `mayMatch` can exclude anything.
    public var canExclude: Bool { required != nil || isFree.load(ordering: .relaxed) }

    /// Whether one of many texts may contain a match, at a fraction of the cost of asking for each. Any thread may ask.
    ///
    /// - Parameter texts: UTF-8, joined.
    public func mayMatch(in texts: UnsafeRawBufferPointer) -> Bool {
        let data = pcre2_match_data_create_8(1, nil)
        defer { pcre2_match_data_free_8(data) }
        // The literal text needs no stack and no limits.
        if let required, search(required, texts, from: 0, data, nil) == PCRE2_ERROR_NOMATCH { return false }
        guard isFree.load(ordering: .relaxed) else { return true }
        let found = search(code, texts, from: 0, data, sharedContext)
        // It takes too many steps, and would again.
        if found < 0, found != PCRE2_ERROR_NOMATCH { isFree.store(false, ordering: .relaxed) }
        return found != PCRE2_ERROR_NOMATCH
    }

    /// Finds where a match may be: no text has a match unless one of these offsets is in it.
    ///
    /// - Parameters:
    ///   - texts: UTF-8, joined.
    ///   - visit: gets an offset, and returns where the next text begins; nil to end.
    /// - Returns: false if it excludes nothing.
    public func possiblePlaces(in texts: UnsafeRawBufferPointer, visit: (Int) -> Int?) -> Bool {
        guard let code = required ?? (isFree.load(ordering: .relaxed) ? code : nil) else { return false }
        var next: Int? = 0
        while let start = next, start < texts.count {
            let found = search(code, texts, from: start, data, required == nil ? context : nil)
            if found == PCRE2_ERROR_NOMATCH { return true }
            // With room for one pair, 0 is a match of an expression that has groups.
            guard found >= 0, let place = pcre2_get_ovector_pointer_8(data) else {
                isFree.store(false, ordering: .relaxed)
                return false
            }
            next = visit(Int(clamping: place[0]))
        }
        return true
    }

    private func search(
        _ code: OpaquePointer, _ texts: UnsafeRawBufferPointer, from start: Int, _ data: OpaquePointer?,
        _ context: OpaquePointer?
    ) -> Int32 {
        pcre2_match_8(
            code, texts.bindMemory(to: UInt8.self).baseAddress, texts.count, start, PCRE2_NO_UTF_CHECK, data, context)
    }

    /// Whether the text contains a match.
    ///
    /// - Parameters:
    ///   - text: UTF-8.
    ///   - isChecked: whether it is known to be UTF-8.
    /// - Throws: `PatternError.runaway`; `.failed` if the text is not UTF-8.
    public func matches(_ text: UnsafeRawBufferPointer, isChecked: Bool = false) throws(PatternError) -> Bool {
        try find(in: text, from: 0, options: isChecked ? PCRE2_NO_UTF_CHECK : 0) != nil
    }

    /// Finds the matches in a text, to highlight them.
    ///
    /// - Returns: byte ranges of its UTF-8, in order, disjoint, not empty; at most a thousand. The list ends early if finding
    ///   the next match would take too long.
    public func ranges(in text: String) -> [Range<Int>] {
        var text = text
        return text.withUTF8 { ranges(in: UnsafeRawBufferPointer($0)) }
    }

    private func ranges(in text: UnsafeRawBufferPointer) -> [Range<Int>] {
        var found: [Range<Int>] = []
        var start = 0
        while start <= text.count, found.count < Limit.ranges {
            // The first search has checked that the text is UTF-8.
            let options = start == 0 ? 0 : PCRE2_NO_UTF_CHECK
            guard let range = (try? find(in: text, from: start, options: options)) ?? nil else { break }
            if !range.isEmpty { found.append(range) }
            start = max(range.upperBound, start)
            guard range.isEmpty else { continue }
            repeat { start += 1 } while start < text.count && text[start] & 0xC0 == 0x80
        }
        return found
    }

    private func find(
        in text: UnsafeRawBufferPointer, from start: Int, options: UInt32
    ) throws(PatternError) -> Range<Int>? {
        let code = pcre2_match_8(
            self.code, text.bindMemory(to: UInt8.self).baseAddress, text.count, start, options, data, context)
        switch code {
        case 0...:
            guard let ends = pcre2_get_ovector_pointer_8(data) else { return nil }
            return Int(clamping: min(ends[0], ends[1]))..<Int(clamping: ends[1])
        case PCRE2_ERROR_NOMATCH: return nil
        case PCRE2_ERROR_MATCHLIMIT, PCRE2_ERROR_DEPTHLIMIT, PCRE2_ERROR_HEAPLIMIT, PCRE2_ERROR_JIT_STACKLIMIT:
            throw .runaway(pattern: source)
        default: throw .failed(pattern: source, reason: Pattern.message(code))
        }
    }

    private static func compile(_ pattern: String, source: String) throws(PatternError) -> OpaquePointer {
        var pattern = pattern
        guard pattern.utf8.count <= Limit.patternBytes else {
            throw .tooLong(beginning: String(source.prefix(32)))
        }
        let options = PCRE2_UTF | PCRE2_UCP | PCRE2_CASELESS | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C
        var (code, offset): (Int32, Int) = (0, 0)
        let compiled = pattern.withUTF8 { bytes in
            pcre2_compile_8(bytes.baseAddress, bytes.count, options, &code, &offset, nil)
        }
        if let compiled { return compiled }
        let characters = String(decoding: pattern.utf8.prefix(offset), as: UTF8.self).unicodeScalars.count
        throw .invalid(pattern: source, offset: characters, reason: message(code))
    }

    /// Bytes are compared, which is faster than characters.
    private static func compileRequired(_ text: String) -> OpaquePointer? {
        var text = text
        var (error, offset): (Int32, Int) = (0, 0)
        let code = text.withUTF8 {
            pcre2_compile_8($0.baseAddress, $0.count, PCRE2_CASELESS | PCRE2_LITERAL, &error, &offset, nil)
        }
        // Only generated code is faster than the pattern itself.
        guard let code, pcre2_jit_compile_8(code, PCRE2_JIT_COMPLETE) == 0 else {
            pcre2_code_free_8(code)
            return nil
        }
        return code
    }

    private static func message(_ code: Int32) -> String {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 256) { buffer in
            let count = pcre2_get_error_message_8(code, buffer.baseAddress, buffer.count)
            guard count > 0 else { return "error \(code) of PCRE2" }
            return String(decoding: buffer.prefix(Int(count)), as: UTF8.self)
        }
    }
}

/// Why a search with a pattern fails.
public enum PatternError: FailureConvertible, Equatable {
    /// It is not a regular expression. The offset counts characters, from 0.
    case invalid(pattern: String, offset: Int, reason: String)
    case tooLong(beginning: String)
    /// A text needed too many steps or too much memory.
    case runaway(pattern: String)
    /// There is no memory, or the library failed.
    case failed(pattern: String, reason: String)

    public var failure: CommandFailure {
        func bad(_ problem: Phrase) -> CommandFailure { CommandFailure(.invalidData, code: "bad_pattern", problem) }
        return switch self {
        case .invalid(let pattern, let offset, let reason):
            bad("'\(pattern)' is not a regular expression: \(reason), at offset \(offset); see pcre2pattern(3)")
        case .tooLong(let beginning): bad("the pattern that begins with '\(beginning)' is too long")
        case .runaway(let pattern):
            bad("'\(pattern)' takes too many steps in one of the messages; avoid a repetition inside a repetition")
        case .failed(let pattern, let reason): .inputOutput("cannot search for '\(pattern)': \(reason)")
        }
    }
}

extension Pattern {
    /// The library with its version, for `--version`.
    public static var library: String {
        var text = [CChar](repeating: 0, count: 64)
        guard pcre2_config_8(UInt32(PCRE2_CONFIG_VERSION), nil) <= Int32(text.count),
            pcre2_config_8(UInt32(PCRE2_CONFIG_VERSION), &text) > 0
        else { return "PCRE2" }
        // The date of the release follows.
        return "PCRE2 " + String(decoding: text.prefix { $0 > 0x20 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
