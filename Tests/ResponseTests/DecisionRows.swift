/// Rows of `DecisionsTests`: what is set | what has happened | what happens last, and below it what is done then.
/// Sources are those of `Cast`; ports 1 to 1024 are watched.
let decisionRows = """
  # One verdict, one proof
  native | | A probes 23
  = tells of A; writes A down as waiting
  native | | A probes 23 unwatched
  =
  native | | A probes 23 below
  = writes A down
  native | | A probes udp 53
  = tells of A; writes A down as waiting
  native | | A probes 23 as us
  = writes A down as ownAddress
  native,2.x | | A probes 23 as us
  = writes A down as ownAddress
  native,2.x,-L | | A probes 23 as us
  = tells of A; writes A down as waiting
  native,1.2 | | A probes 23 as us
  = tells of A; writes A down as waiting
  native | | A is called a scanner
  = waits for proof of A; says the verdict on A
  native | | A is called a flood
  = says the verdict on A
  native | | A meets decoy 23
  = A is proven; opens the gate to A
  native | A is called a scanner | A meets decoy 23
  = A is proven; tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; opens the gate to A
  native | A meets decoy 23 | A is called a scanner
  = tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; says the verdict on A
  native | A probes 23; A probes 24; A is called a scanner | A meets decoy 23
  = A is proven; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; opens the gate to A
  native | A is called a scanner | A connects to 23
  = A is proven; tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked
  native | A connects to 23 | A is called a scanner
  = tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; says the verdict on A
  native | A is called a scanner | A meets decoy 23 by cookie
  = opens the gate to A
  native | A is called a scanner; A meets decoy 23 by cookie | A meets decoy 23 by cookie
  = opens the gate to A
  native | A is called a scanner; A meets decoy 23 by cookie | A meets decoy 24 by cookie
  = A is proven; tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; opens the gate to A
  native | A is called a scanner; A meets decoy 23 by cookie; 3601 s pass; A is called a scanner | A meets decoy 24 by cookie
  = opens the gate to A
  native | A is called a scanner; B meets decoy 23 by cookie | A meets decoy 24 by cookie
  = opens the gate to A
  native | A is called a scanner | A connects to 23 by cookie
  = tells of A; writes A down as waiting
  native | A is called a scanner; A connects to 23 by cookie | A connects to 24 by cookie
  = A is proven; tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked
  native | A is called a scanner | B meets decoy 23
  = B is proven; opens the gate to B
  native | B meets decoy 23 | A is called a scanner
  = waits for proof of A; says the verdict on A
  native | A is called a scanner | A is called a scanner
  = says the verdict on A
  native | A meets decoy 23 | A meets decoy 24
  = opens the gate to A
  native | A is called a flood | A meets decoy 23
  = A is proven; opens the gate to A
  native | A is called a scanner; 3600 s pass | A meets decoy 23
  = A is proven; tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; opens the gate to A
  native | A is called a scanner; 3601 s pass | A meets decoy 23
  = A is proven; opens the gate to A
  native | A meets decoy 23; 3600 s pass | A is called a scanner
  = tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; says the verdict on A
  native | A meets decoy 23; 3601 s pass | A is called a scanner
  = waits for proof of A; says the verdict on A
  native | A meets decoy 23; 3601 s pass | A meets decoy 23
  = A is proven; opens the gate to A
  native | A is called a scanner; A meets decoy 23 | A probes 25
  = tells of A; A is blocked already; writes A down as blocked
  native | A is called a scanner; A meets decoy 23 | A meets decoy 24
  = opens the gate to A
  native | A is called a scanner; A meets decoy 23 | A is called a scanner
  = writes A down as waiting; says the verdict on A
  native | A is called a scanner; A meets decoy 23 | A probes 25 below
  = writes A down
  native | A is called a scanner; A meets decoy 23 | A probes udp 53
  = tells of A; A is blocked already; writes A down as blocked
  native,no proof | | A is called a scanner
  = tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; says the verdict on A
  native,no proof | | A probes 23
  = tells of A; writes A down as waiting
  native,no proof | A is called a scanner | A probes 23
  = tells of A; A is blocked already; writes A down as blocked
  classic | | A probes 23
  = tells of A; waits for proof of A; writes A down as waiting
  classic | | A probes 23 below
  = writes A down
  classic | | A probes 23 unwatched
  =
  classic | A probes 23 | A meets decoy 23
  = A is proven; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; opens the gate to A
  classic | | A meets decoy 23
  = A is proven; tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; opens the gate to A
  classic | | A meets decoy 23 by cookie
  = opens the gate to A
  classic | A probes 23 | A meets decoy 23 by cookie
  = opens the gate to A
  classic | A meets decoy 23 by cookie | A meets decoy 24 by cookie
  = A is proven; tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; opens the gate to A
  classic | | A connects to 23 by cookie
  = tells of A; waits for proof of A; writes A down as waiting
  classic | | A meets decoy 9999
  = A is proven; opens the gate to A
  classic,trigger 3 | | A meets decoy 23
  = A is proven; opens the gate to A
  classic | A meets decoy 23 | A probes 23
  =
  classic,trigger 3 | A meets decoy 23 | A probes 23
  = tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked
  classic | | A connects to 23
  = A is proven; tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked
  classic | A connects to 23 | A connects to 24
  = tells of A; A is blocked already; writes A down as blocked
  classic | | A is called a scanner
  = says the verdict on A
  classic,no proof | | A probes 23
  = tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked
  classic,no proof | | A probes udp 53
  = tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked
  classic | A meets decoy 9999 | A probes 23
  = tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked
  classic | A meets decoy 9999; 3601 s pass | A probes 23
  = tells of A; waits for proof of A; writes A down as waiting
  classic | A probes 23 | B meets decoy 23
  = B is proven; tells of B; tries nftables on B; B is blocked for 1d; lists B; writes B down as blocked; opens the gate to B
  # A program that sets up an account asks for what nothing serves beside what it uses
  classic | | A probes 995 beside mail
  = tells of A; writes A down as waiting
  classic | | A probes 995 beside mail in use
  = tells of A; writes A down as waiting
  classic | | A probes 443 beside mail and web in use
  = tells of A; writes A down as waiting
  classic | A probes 995 beside mail | 1 s pass
  =
  classic | A probes 995 beside mail | 2 s pass
  = waits for proof of A
  classic | A probes 995 beside mail | A meets decoy 995
  = A is proven; opens the gate to A
  classic | A probes 995 beside mail; A meets decoy 995 | 2 s pass
  = tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked
  classic | A probes 995 beside mail; 2 s pass | A meets decoy 995
  = A is proven; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; opens the gate to A
  classic | A probes 995 beside mail; A meets decoy 995; A is answered by mail | 2 s pass
  =
  classic | A probes 995 beside mail; A is answered by mail; A meets decoy 995; 2 s pass | A probes 110 beside mail in use
  = tells of A; writes A down as waiting
  classic | | A meets decoy 995
  = A is proven
  classic | A meets decoy 995 | A probes 995 beside mail
  = tells of A; writes A down as waiting; opens the gate to A
  classic | A meets decoy 995 | A probes 995 beside mail in use
  = tells of A; writes A down as waiting; opens the gate to A
  classic | A meets decoy 995 | A probes 995
  = tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; opens the gate to A
  classic | A meets decoy 995 | A is answered by mail
  = opens the gate to A
  classic | A is answered by mail | A meets decoy 995
  = A is proven; opens the gate to A
  classic | A is answered by mail; 3 s pass | A meets decoy 995
  = A is proven
  classic | A meets decoy 995 | 2 s pass
  = tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; opens the gate to A
  classic | A meets decoy 995; 2 s pass | A probes 995 beside mail
  =
  classic | A meets decoy 995; A probes 995 beside mail | A meets decoy 23
  = tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; opens the gate to A
  classic | A meets decoy 995; A probes 995 beside mail | A probes 23
  = tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked
  classic | A probes 995 beside mail | A probes 8080 beside web
  = tells of A; waits for proof of A; writes A down as waiting
  classic | A probes 995 beside mail; A probes 443 beside mail and web | A is answered by mail
  =
  classic | A probes 995 beside mail; A meets decoy 995; A is answered by mail | A probes 8080 beside web
  = tells of A; writes A down as waiting
  classic | A probes 995 beside mail; A meets decoy 995; A is let in | 2 s pass
  =
  classic,no proof | | A probes 995 beside mail in use
  = tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked
  classic,block 0 | | A probes 995 beside mail
  = writes A down as logged
  classic | A probes 995 beside mail; A meets decoy 995; A is ignored | 2 s pass
  =
  native | A is called a scanner | A meets decoy 995
  = A is proven; tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; opens the gate to A
  # What is said twice is said once
  native | A is called a scanner; A meets decoy 23 | A probes 23
  =
  native | A is called a scanner; A meets decoy 23; A probes 23 | A probes 23
  = tells of A; A is blocked already; writes A down as blocked
  native | A is called a scanner; A meets decoy 23; 3 s pass | A probes 23
  = tells of A; A is blocked already; writes A down as blocked
  native | A is called a scanner; A probes 23 | A meets decoy 23
  = A is proven; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; opens the gate to A
  # Users of a service
  native | A is served; A is called a scanner | A meets decoy 23
  = A is proven; spares A; opens the gate to A
  native | A is served; A is called a scanner; A meets decoy 23 | A meets decoy 24
  = opens the gate to A
  native | A is served; A is called a scanner; A meets decoy 23; A meets decoy 24 | A meets decoy 25
  = tells of A; writes A down as failed; opens the gate to A
  native | A is served; A is called a scanner; A meets decoy 23; A meets decoy 23 | A meets decoy 23
  = opens the gate to A
  native | A is called a scanner; A is served | A meets decoy 23
  = A is proven; spares A; opens the gate to A
  native | A is called a scanner; A is served; A meets decoy 23; A meets decoy 24 | A meets decoy 25
  = tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; opens the gate to A
  native | A is served; A is called a scanner; A meets decoy 23; A is served no more | A meets decoy 24
  = tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; opens the gate to A
  native | A is asked; A is called a scanner | A meets decoy 23
  = A is proven; tells of A; refuses A: it is the peer of a connection that this host opened; writes A down as failed;
    opens the gate to A
  native | A is called a scanner; A is asked | A meets decoy 23
  = A is proven; tells of A; refuses A: it is the peer of a connection that this host opened; writes A down as failed;
    opens the gate to A
  native | A is served; A meets decoy 23 | A is called a scanner
  = spares A; says the verdict on A
  native | B is served; A is called a scanner | A meets decoy 23
  = A is proven; tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; opens the gate to A
  classic | A is served | A connects to 23
  = A is proven; tells of A; refuses A: it is the peer of an established connection; writes A down as failed
  classic | A is served | A meets decoy 23
  = A is proven; tells of A; refuses A: it is the peer of an established connection; writes A down as failed; opens the gate to A
  classic | A is asked | A connects to 23
  = A is proven; tells of A; refuses A: it is the peer of a connection that this host opened; writes A down as failed
  native | A is served; A is called a scanner; A meets decoy 23; 59 s pass | A meets decoy 23
  = opens the gate to A
  native | A is served; A is called a scanner; A meets decoy 23; 61 s pass | A meets decoy 23
  = opens the gate to A
  # Who may not be blocked
  native | A is the gateway; A is called a scanner | A meets decoy 23
  = A is proven; tells of A; refuses A: it is the gateway; writes A down as failed; opens the gate to A
  native | A is ignored; A is called a scanner | A meets decoy 23
  = opens the gate to A
  native | A is ignored | A is called a scanner
  =
  native | A is ignored | A probes 23
  = writes A down
  native | A is ignored | A connects to 23
  = writes A down
  native | A is called a scanner; A is ignored | A meets decoy 23
  = opens the gate to A
  native | A is called a scanner; A meets decoy 23 | A is ignored
  = lifts A (now on the ignore list)
  native | A is called a scanner; A meets decoy 23 | A is the gateway
  = lifts A (now the gateway, which is never blocked)
  native | A is called a scanner; A meets decoy 23 | B is the gateway
  =
  native | A is called a scanner; A meets decoy 23; B is called a scanner; B meets decoy 23 | 203.0.0.0/16 is ignored
  = lifts B (now on the ignore list); lifts A (now on the ignore list)
  native | A is called a scanner; A meets decoy 23; B is called a scanner; B meets decoy 23 | B is ignored
  = lifts B (now on the ignore list)
  native | A is the gateway; A is called a scanner; A meets decoy 23 | A meets decoy 24
  = tells of A; writes A down as failed; opens the gate to A
  native | A is the gateway; A is called a scanner; A meets decoy 23; 61 s pass | A meets decoy 24
  = tells of A; refuses A: it is the gateway; writes A down as failed; opens the gate to A
  classic | A is the gateway | A connects to 23
  = A is proven; tells of A; refuses A: it is the gateway; writes A down as failed
  # Limits
  native,max 1 | A is called a scanner; A meets decoy 23; B is called a scanner | B meets decoy 23
  = B is proven; tells of B; refuses B: 1 blocks are in force (BLOCK_MAX); writes B down as failed; opens the gate to B
  native,max 1 | A is called a scanner; A meets decoy 23; B is called a scanner; B meets decoy 23;
    C is called a scanner | C meets decoy 23
  = C is proven; tells of C; writes C down as failed; opens the gate to C
  native,max 1 | A is called a scanner; A meets decoy 23; X1 is called a scanner | X1 meets decoy 23
  = X1 is proven; tells of X1; refuses X1: 1 blocks are in force (BLOCK_MAX); writes X1 down as failed; opens the gate to X1
  native,max 1 | A is called a scanner; A meets decoy 23; A is let in; B is called a scanner | B meets decoy 23
  = B is proven; tells of B; tries nftables on B; B is blocked for 1d; lists B; writes B down as blocked; opens the gate to B
  native,rate 1 | A is called a scanner; A meets decoy 23; B is called a scanner | B meets decoy 23
  = B is proven; tells of B; refuses B: 1 blocks were made within a minute (BLOCK_RATE); writes B down as failed; opens the gate to B
  native,rate 1 | A is called a scanner; A meets decoy 23; 61 s pass; B is called a scanner | B meets decoy 23
  = B is proven; tells of B; tries nftables on B; B is blocked for 1d; lists B; writes B down as blocked; opens the gate to B
  native,rate 1 | A is called a scanner; A meets decoy 23 | B is ordered
  = tries nftables on B; B is blocked for 60s; answers: B is blocked
  native,max 1 | A is called a scanner; A meets decoy 23 | B is ordered
  = answers: refused, 1 blocks are in force (BLOCK_MAX)
  # How long
  native,60 s | A is called a scanner | A meets decoy 23
  = A is proven; tells of A; tries nftables on A; A is blocked for 60s; lists A; writes A down as blocked; opens the gate to A
  native,60 s | A is called a scanner; A meets decoy 23 | 59 s pass
  =
  native,60 s | A is called a scanner; A meets decoy 23 | 60 s pass
  = lifts A (expired)
  native,60 s | A is called a scanner; A meets decoy 23; 60 s pass | A meets decoy 24
  = tells of A; tries nftables on A; A is blocked for 120s; lists A; writes A down as blocked; opens the gate to A
  native,60 s | A is called a scanner; A meets decoy 23; 60 s pass; A meets decoy 24; 120 s pass | A meets decoy 25
  = tells of A; tries nftables on A; A is blocked for 240s; lists A; writes A down as blocked; opens the gate to A
  native,for ever | A is called a scanner | A meets decoy 23
  = A is proven; tells of A; tries nftables on A; A is blocked for ever; lists A; writes A down as blocked; opens the gate to A
  native,for ever | A is called a scanner; A meets decoy 23 | 9000000 s pass
  =
  native,60 s | A is called a scanner; A meets decoy 23; B is called a scanner; B meets decoy 23 | 60 s pass
  = lifts A, B (expired)
  # What is missing is said
  native | A is called a scanner | 1 s pass
  =
  native | A is called a scanner | 2 s pass
  = says that A is unproven
  native | A is called a scanner; 2 s pass | 60 s pass
  =
  native | A is called a scanner; 2 s pass | A is called a scanner
  = says the verdict on A
  native | A is called a scanner; 62 s pass | A is called a scanner
  = says the verdict on A
  native | A is called a scanner; 61 s pass; 2 s pass; A is called a scanner | 2 s pass
  =
  native | A is called a scanner; A meets decoy 23 | 2 s pass
  =
  native | A is called a scanner; B is called a scanner; C is called a scanner | 2 s pass
  = says that A is unproven; says that B is unproven; says that C is unproven
  # Ways, and what fails
  native,hosts.deny | A is called a scanner | A meets decoy 23
  = A is proven; tells of A; tries hosts.deny on A; A is blocked for 1d; lists A; writes A down as blocked; opens the gate to A
  native,route | A is called a scanner | A meets decoy 23
  = A is proven; tells of A; tries route on A; A is blocked for 1d; lists A; writes A down as blocked; opens the gate to A
  native,hosts.deny,route | A is called a scanner | A meets decoy 23
  = A is proven; tells of A; tries hosts.deny on A; tries route on A; A is blocked for 1d; lists A; writes A down as blocked;
    opens the gate to A
  native,nftables,route | nftables fails; A is called a scanner | A meets decoy 23
  = A is proven; tells of A; tries nftables on A; tries route on A; A is blocked for 1d; lists A; writes A down as blocked;
    opens the gate to A
  native,nftables,route,1.2 | nftables fails; A is called a scanner | A meets decoy 23
  = A is proven; tells of A; tries nftables on A; tries route on A; A is blocked for 1d; could not block A; lists A;
    writes A down as blocked; opens the gate to A
  native | nftables fails; A is called a scanner | A meets decoy 23
  = A is proven; tells of A; tries nftables on A; could not block A; writes A down as failed; opens the gate to A
  native | nftables fails; A is called a scanner; A meets decoy 23 | A meets decoy 24
  = tells of A; writes A down as failed; opens the gate to A
  native | nftables fails; A is called a scanner; A meets decoy 23; nftables works | A meets decoy 24
  = tells of A; writes A down as failed; opens the gate to A
  native | nftables fails; A is called a scanner; A meets decoy 23; nftables works; 2 s pass | A meets decoy 24
  = tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; opens the gate to A
  native,hosts.deny | hosts.deny fails; A is called a scanner | A meets decoy 23
  = A is proven; tells of A; tries hosts.deny on A; could not block A; writes A down as failed; opens the gate to A
  native,hosts.deny,nftables | hosts.deny fails; A is called a scanner | A meets decoy 23
  = A is proven; tells of A; tries hosts.deny on A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked;
    opens the gate to A
  # Commands
  native,command | A is called a scanner | A meets decoy 23
  = A is proven; tells of A; tries command on A
  native,command | A is called a scanner; A meets decoy 23 | the command succeeds
  = the command is done; A is blocked for 1d; lists A; writes A down as blocked
  native,command | A is called a scanner; A meets decoy 23 | the command fails
  = the command has failed; could not block A; writes A down as failed
  native,command | A is called a scanner; A meets decoy 23 | A probes 25
  =
  native,command | A is called a scanner; A meets decoy 23; A probes 25; A probes 26 | the command succeeds
  = the command is done; A is blocked for 1d; lists A; writes A down as blocked; tells of A; A is blocked already;
    writes A down as blocked; tells of A; A is blocked already; writes A down as blocked
  native,command | A is called a scanner; A meets decoy 23; A probes 25; A probes 26 | the command fails
  = the command has failed; could not block A; writes A down as failed; tells of A; writes A down as failed; tells of A;
    writes A down as failed
  native,command | A is called a scanner; A meets decoy 23 | A meets decoy 24
  =
  native,command | A is called a scanner; A meets decoy 23 | A is called a scanner
  = writes A down as waiting; says the verdict on A
  native,command | A is called a scanner; A meets decoy 23; B is called a scanner | B meets decoy 23
  = B is proven; tells of B; tries command on B
  native,command | A is called a scanner; A meets decoy 23; B is called a scanner; B meets decoy 23;
    the command succeeds | the command succeeds
  = the command is done; B is blocked for 1d; lists B; writes B down as blocked
  native,command,nftables | A is called a scanner | A meets decoy 23
  = A is proven; tells of A; tries command on A
  native,command,nftables | A is called a scanner; A meets decoy 23 | the command succeeds
  = the command is done; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked
  native,command,nftables | A is called a scanner; A meets decoy 23 | the command fails
  = the command has failed; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked
  native,command,nftables,1.2 | A is called a scanner; A meets decoy 23 | the command fails
  = the command has failed; tries nftables on A; A is blocked for 1d; could not block A; lists A; writes A down as blocked
  native,run | A is called a scanner | A meets decoy 23
  = A is proven; tells of A; tries nftables on A; tries run on A
  native,run | A is called a scanner; A meets decoy 23 | the command succeeds
  = the command is done; A is blocked for 1d; lists A; writes A down as blocked
  native,run | A is called a scanner; A meets decoy 23 | the command fails
  = the command has failed; A is blocked for 1d; lists A; writes A down as blocked
  native,run,1.2 | A is called a scanner; A meets decoy 23 | the command fails
  = the command has failed; A is blocked for 1d; could not block A; lists A; writes A down as blocked
  native,run,run first | A is called a scanner | A meets decoy 23
  = A is proven; tells of A; tries run on A
  native,run,run first | A is called a scanner; A meets decoy 23 | the command succeeds
  = the command is done; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked
  native,run,run first | A is called a scanner; A meets decoy 23 | the command fails
  = the command has failed; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked
  native,command | command fails; A is called a scanner | A meets decoy 23
  = A is proven; tells of A; tries command on A; could not block A; writes A down as failed; opens the gate to A
  native,command | A is called a scanner; A meets decoy 23; A is ignored | the command succeeds
  = the command is done; A is blocked for 1d; lifts A (now on the ignore list); writes A down as failed
  native,command | A is called a scanner; A meets decoy 23; A is the gateway | the command succeeds
  = the command is done; A is blocked for 1d; lifts A (now the gateway, which is never blocked); writes A down as failed
  native,command | A is called a scanner; A meets decoy 23 | A is ordered
  = answers: it runs
  native,command | A is called a scanner; A meets decoy 23; A is ordered | the command succeeds
  = the command is done; A is blocked for 1d; lists A; writes A down as blocked
  # BLOCK 0 and 2
  native,block 0 | | A probes 23
  = writes A down as logged
  native,block 0,1.2 | | A probes 23
  = tells of A; says that it lets it be; lists A; writes A down as logged
  native,block 0,1.2 | A probes 23 | A probes 24
  = tells of A; A is blocked already; writes A down as logged
  native,block 0,1.2 | A probes 23 | A probes udp 53
  = tells of A; says that it lets it be; lists A; writes A down as logged
  native,block 0,2.x | | A probes 23
  = writes A down as logged
  native,block 0 | A is called a scanner | A meets decoy 23
  = A is proven; opens the gate to A
  native,block 2,run | | A probes 23
  = tells of A; tries run on A
  native,block 2,run | A probes 23 | the command succeeds
  = the command is done; lists A; writes A down as blocked
  native,block 2,run | A probes 23 | the command fails
  = the command has failed; could not block A; writes A down as failed
  native,block 2,run | A probes 23; the command succeeds | A probes 24
  = tells of A; A is blocked already; writes A down as blocked
  native,block 2,run | A probes 23; the command fails | A probes 24
  = tells of A; writes A down as failed
  native,block 2,run | A probes 23; the command fails; 2 s pass | A probes 24
  = tells of A; tries run on A
  native,block 2 | | A probes 23
  = tells of A; lists A; writes A down as blocked
  native,block 2,run,1.2 | A probes 23; the command succeeds | A probes udp 53
  = tells of A; tries run on A
  native,block 2,run,2.x | A probes 23; the command succeeds | A probes udp 53
  = tells of A; A is blocked already; writes A down as blocked
  native,udp 0 | A is called a scanner of udp | A meets decoy 23
  = A is proven; tells of A; writes A down as waiting; opens the gate to A
  native,udp 0 | A meets decoy 23 | A is called a scanner of udp
  = says the verdict on A
  native | A meets decoy 23 | A is called a scanner of udp
  = tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; says the verdict on A
  native,tcp 0 | A is called a scanner | A meets decoy 23
  = A is proven; writes A down as waiting; opens the gate to A
  native,tcp 0 | A is called a scanner of udp | A meets decoy 23
  = A is proven; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; opens the gate to A
  # Orders
  native | | A is ordered
  = tries nftables on A; A is blocked for 60s; answers: A is blocked
  native | | A is ordered for ever
  = tries nftables on A; A is blocked for ever; answers: A is blocked
  native | | X is ordered
  = tries nftables on X; X is blocked for 60s; answers: X is blocked
  native | A is the gateway | A is ordered
  = answers: refused, it is the gateway
  native | A is the gateway | 203.0.65.0/24 is ordered
  = answers: refused, it is a network that contains 203.0.65.1 (the gateway)
  native | A is ignored | A is ordered
  = answers: refused, the ignore file or `portsentry allow` names it
  native | nftables fails | A is ordered
  = tries nftables on A; answers: failed, nftables
  native,command | | A is ordered
  = tries command on A; answers: it runs
  native,command | A is ordered | the command succeeds
  = the command is done; A is blocked for 60s; answers: A is blocked
  native,command | A is ordered | the command fails
  = the command has failed; answers: failed, see the line above
  native,hosts.deny,route | | A is ordered
  = tries hosts.deny on A; tries route on A; A is blocked for 60s; answers: A is blocked
  native,hosts.deny,route | | X is ordered
  = tries route on X; X is blocked for 60s; answers: X is blocked
  native,hosts.deny | | X is ordered
  = tries nftables on X; X is blocked for 60s; answers: X is blocked
  native | A is ordered | 59 s pass
  =
  native | A is ordered | 60 s pass
  = lifts A (expired)
  native | A is ordered for ever | 9000000 s pass
  =
  native | A is ordered | A probes 23
  = tells of A; A is blocked already; writes A down as blocked
  native | A is served | A is ordered
  = tries nftables on A; A is blocked for 60s; answers: A is blocked
  native,run | | A is ordered
  = tries nftables on A; A is blocked for 60s; answers: A is blocked
  # Let in
  native | | A is let in
  = answers: unknown
  native | A is called a scanner; A meets decoy 23 | A is let in
  = lifts A (by operator); answers: released
  native | A is called a scanner; A meets decoy 23; A is let in | A meets decoy 24
  = A is proven; opens the gate to A
  native | A is called a scanner; A meets decoy 23; A is let in; A is called a scanner | A meets decoy 24
  = A is proven; tells of A; tries nftables on A; A is blocked for 2d; lists A; writes A down as blocked; opens the gate to A
  native | X is ordered | X1 is let in
  = answers: partOf(2001:db8:1:1::/64)
  native | X is ordered | X is let in
  = lifts X (by operator); answers: released
  native | A is called a scanner; A meets decoy 23; B is called a scanner; B meets decoy 23 | all are let in
  = lifts B, A (by operator); answers: 2 let in
  native | A is called a scanner | A is allowed
  =
  native | A is called a scanner; A is allowed | A meets decoy 23
  = A is proven; opens the gate to A
  native,block 2,run | A probes 23; the command succeeds | A is let in
  = writes the blocked files; answers: unlisted
  native,block 2,run | A probes 23; the command succeeds; A is let in | A probes 24
  = tells of A; tries run on A
  native,1.2 | A is called a scanner; A meets decoy 23 | A is struck out of tcp
  = lifts A (by operator)
  native,1.2 | A is called a scanner | A is struck out of tcp
  =
  # Prefixes
  native | X1 is called a scanner | X1 meets decoy 23
  = X1 is proven; tells of X1; tries nftables on X1; X1 is blocked for 1d; lists X1; writes X1 down as blocked; opens the gate to X1
  native | X is called a scanner | X1 meets decoy 23
  = X1 is proven; tells of X1; tries nftables on X1; X1 is blocked for 1d; lists X1; writes X1 down as blocked; opens the gate to X1
  native | X1 meets decoy 23 | X is called a scanner
  = tries nftables on X1; X1 is blocked for 1d; lists X1; writes X1 down as blocked; says the verdict on X
  native | X1 meets decoy 23; X2 meets decoy 23 | X is called a scanner
  = tries nftables on X1; X1 is blocked for 1d; lists X1; writes X1 down as blocked; tries nftables on X2; X2 is blocked for 1d;
    lists X2; writes X2 down as blocked; says the verdict on X
  native | X is called a scanner; X1 to X3 meet decoys | X4 meets decoy 23
  = X4 is proven; tells of X4; tries nftables on X4; X4 is blocked for 1d; tries prefix on X; X is blocked for 1d; lists X4;
    writes X4 down as blocked; opens the gate to X4
  native | X is called a scanner; X1 to X3 meet decoys; X9 is served | X4 meets decoy 23
  = X4 is proven; tells of X4; tries nftables on X4; X4 is blocked for 1d;
    leaves X to its 4: 2001:db8:1:1::9 in it uses, or used within a day, a service of this host; lists X4; writes X4 down as blocked;
    opens the gate to X4
  native | X is called a scanner; X1 to X3 meet decoys; X9 used a service | X4 meets decoy 23
  = X4 is proven; tells of X4; tries nftables on X4; X4 is blocked for 1d;
    leaves X to its 4: 2001:db8:1:1::9 in it uses, or used within a day, a service of this host; lists X4; writes X4 down as blocked;
    opens the gate to X4
  native | X1 to X4 meet decoys; X5 meets decoy 23 | X is called a scanner
  = tries nftables on X1; X1 is blocked for 1d; lists X1; writes X1 down as blocked; tries nftables on X2; X2 is blocked for 1d;
    lists X2; writes X2 down as blocked; tries nftables on X3; X3 is blocked for 1d; lists X3; writes X3 down as blocked;
    tries nftables on X4; X4 is blocked for 1d; tries prefix on X; X is blocked for 1d; lists X4; writes X4 down as blocked;
    writes X5 down as waiting; says the verdict on X
  native,prefix 128 | X is called a scanner; X1 to X3 meet decoys | X4 meets decoy 23
  = X4 is proven; tells of X4; tries nftables on X4; X4 is blocked for 1d; lists X4; writes X4 down as blocked; opens the gate to X4
  native | prefix fails; X is called a scanner; X1 to X3 meet decoys | X4 meets decoy 23
  = X4 is proven; tells of X4; tries nftables on X4; X4 is blocked for 1d; tries prefix on X; lists X4; writes X4 down as blocked;
    opens the gate to X4
  native | X is called a scanner; X1 to X4 meet decoys | X5 meets decoy 23
  = X5 is proven; opens the gate to X5
  native | X is called a scanner; X1 to X4 meet decoys | X9 used a service
  = lifts X (2001:db8:1:1::9 in it used a service of this host)
  native | X is called a scanner; X1 to X4 meet decoys | X1 used a service
  =
  native | X is called a scanner; X1 to X4 meet decoys | X1 is let in
  = lifts X (2001:db8:1:1::1 in it was released by operator); lifts X1 (by operator); answers: released, opened X
  native | X is called a scanner; X1 to X4 meet decoys | X is let in
  = lifts X, X1, X2, X3, X4 (by operator); answers: released
  native | X is called a scanner; X1 to X4 meet decoys | X2 is the gateway
  = lifts X2 (now the gateway, which is never blocked);
    lifts X (now a network that contains 2001:db8:1:1::2 (the gateway), which is never blocked)
  native,hosts.deny | X is called a scanner; X1 to X3 meet decoys | X4 meets decoy 23
  = X4 is proven; tells of X4; tries hosts.deny on X4; X4 is blocked for 1d; lists X4; writes X4 down as blocked; opens the gate to X4
  native,60 s | X is called a scanner; X1 to X4 meet decoys | 60 s pass
  = lifts X1, X, X4, X3, X2 (expired)
  # The trial
  native,trial | A is called a scanner | A meets decoy 23
  = A is proven; tells of A; tries nftables on A; A is blocked for 600s; lists A; writes A down as blocked; opens the gate to A
  native,trial | A is called a scanner; A meets decoy 23 | 599 s pass
  =
  native,trial | A is called a scanner; A meets decoy 23 | 600 s pass
  = sets the gate anew; lifts A (the trial was not confirmed); says that the trial is over with 1
  native,trial | A is called a scanner; A meets decoy 23; 600 s pass; B is called a scanner | B meets decoy 23
  = B is proven; tells of B; refuses B: the trial was not confirmed (`portsentry confirm`); writes B down as failed; opens the gate to B
  native,trial | A is called a scanner; A meets decoy 23 | the trial is confirmed
  = sets the gate anew; tries longer on A; A stays blocked for 1d; answers: 1 stay
  native,trial | | the trial is confirmed
  = sets the gate anew; answers: 0 stay
  native | | the trial is confirmed
  = answers: there is no trial
  native,trial | A is called a scanner; A meets decoy 23; longer fails | the trial is confirmed
  = sets the gate anew; tries longer on A; answers: 0 stay
  native,trial | A is called a scanner; A meets decoy 23; the trial is confirmed | 600 s pass
  =
  native,trial | 600 s pass; the trial is confirmed; A is called a scanner | A meets decoy 23
  = A is proven; tells of A; tries nftables on A; A is blocked for 1d; lists A; writes A down as blocked; opens the gate to A
  native,trial | A is ordered for ever | 600 s pass
  = sets the gate anew; says that the trial is over with 0
  native,trial | X is called a scanner; X1 to X3 meet decoys | X4 meets decoy 23
  = X4 is proven; tells of X4; tries nftables on X4; X4 is blocked for 600s; lists X4; writes X4 down as blocked; opens the gate to X4
  """
