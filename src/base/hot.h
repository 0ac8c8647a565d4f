/*
 * What runs for each message lies side by side. A message that comes a millisecond after the last one finds the caches
 * cold; then it costs what it touches, and functions strewn over the library are a page and some lines each.
 *
 * Before the definition of what every sealed or opened message runs through, and of nothing else.
 */
#ifndef SMQ_BASE_HOT_H
#define SMQ_BASE_HOT_H

#define SMQ_HOT __attribute__((hot))

#endif
