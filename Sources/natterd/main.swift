internal import NatterDaemon

DaemonProgram.main()
